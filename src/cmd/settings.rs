//! The manifest's words as the rooms' configurations. Pure; shared by every server command.

use crate::api::types::{ChannelSettings, Durability, Pace};
use crate::control::registry::ChannelEntry;
use crate::edge;
use crate::edge::cors::Cors;
use crate::ingest;
use crate::ingest::doors::Secure;
use crate::log::options::{Options, Sync};
use crate::manifest::types::{
    self as spec, ChannelSpec, CorsOrigins, Server, SyncPolicy, TlsFiles,
};
use crate::media::track::FrameRate;
use crate::origin;
use crate::rt::tls::{self, Files, Tls, TlsError};
use std::sync::Arc;
use std::time::Duration;

/// A channel as the control plane knows it.
pub fn channel(spec: &ChannelSpec) -> ChannelEntry {
    let rate = FrameRate::from_f64(f64::from(spec.frame_rate_millis) / 1000.0);
    let settings = ChannelSettings {
        name: spec.name.clone(),
        segment: spec.segment,
        target_duration: Duration::from_secs(u64::from(spec.target_duration)),
        part: spec.part,
        reconnect_window: spec.reconnect_window,
        pace: match spec.pace {
            spec::Pace::Wall => Pace::Wall,
            spec::Pace::Media => Pace::Media,
        },
        frame_rate: rate.map_or((30, 1), FrameRate::parts),
        latency_budget: spec.latency_budget,
        durability: durability(spec.sync),
        ladder: spec.ladder.clone(),
    };
    let keys = spec.keys.iter().map(|k| k.expose().to_owned()).collect();
    ChannelEntry { settings: Arc::new(settings), keys }
}

fn durability(policy: SyncPolicy) -> Durability {
    match policy {
        SyncPolicy::Interval(every) => Durability::Interval(every),
        SyncPolicy::EachSegment => Durability::EachSegment,
        SyncPolicy::Never => Durability::Never,
    }
}

/// How logs are kept.
pub fn logs(server: &Server) -> Options {
    let sync = match server.sync {
        SyncPolicy::Interval(every) => Sync::Interval(every),
        SyncPolicy::EachSegment => Sync::EachSegment,
        SyncPolicy::Never => Sync::Never,
    };
    Options { sync, low_space: server.low_space, ..Options::default() }
}

/// The RTMP listener.
pub fn rtmp(server: &Server, secure: Option<Tls>) -> ingest::server::Config {
    let listen = server.rtmps.as_ref().map(|r| r.listen);
    ingest::server::Config {
        listen: server.rtmp.listen,
        secure: listen.zip(secure).map(|(listen, tls)| Secure { listen, tls }),
        max_connections: server.rtmp.max_connections as usize,
        idle: server.rtmp.idle_timeout,
        drain_timeout: server.drain_timeout,
    }
}

/// The listener for other nodes.
pub fn internal(server: &Server) -> origin::server::Config {
    let (listen, drain_timeout) = (server.internal.listen, server.drain_timeout);
    origin::server::Config { listen, drain_timeout }
}

/// The viewers' listener.
pub fn viewers(server: &Server, tls: Option<Tls>) -> edge::server::Config {
    edge::server::Config {
        listen: server.viewers.listen,
        tls,
        cors: match &server.viewers.cors_origins {
            CorsOrigins::Any => Cors::Any,
            CorsOrigins::Only(list) => Cors::Only(list.clone()),
        },
        drain_timeout: server.drain_timeout,
    }
}

/// The certificates of a server's public listeners, each where there is one.
#[derive(Debug)]
pub struct Certificates {
    /// Viewers'.
    pub viewers: Option<Tls>,
    /// Encoders'.
    pub rtmps: Option<Tls>,
}

impl Certificates {
    /// Reads their files.
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn load(server: &Server) -> Result<Certificates, TlsError> {
        let load = |files: Option<&TlsFiles>, protocols: &[&str]| {
            let files =
                files.map(|t| Files { certificate: t.certificate.clone(), key: t.key.clone() });
            files.map(|files| Tls::load(files, protocols)).transpose()
        };
        let viewers = load(server.viewers.tls.as_ref(), &tls::HTTP)?;
        let rtmps = load(server.rtmps.as_ref().map(|r| &r.tls), &[])?;
        Ok(Certificates { viewers, rtmps })
    }
}

//! The checks of `server`: its listeners and its limits.

use crate::base::units;
use crate::manifest::check::Check;
use crate::manifest::raw::{RawServer, RawTls, RawViewers};
use crate::manifest::text::http_url;
use crate::manifest::types::{
    AdminServer, CONNECTIONS_MAX, CorsOrigins, DRAIN_TIMEOUT_MAX, IDLE_TIMEOUT_MAX,
    IDLE_TIMEOUT_MIN, InternalServer, LOW_SPACE_MAX, LOW_SPACE_MIN, RtmpServer, RtmpsServer,
    Server, TlsFiles, ViewerServer,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Of a listener that is not there: port 0 clashes with nothing.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Check<'_> {
    pub(super) fn server(&mut self, raw: &RawServer) -> Server {
        let base = Server::default();
        let data = match raw.data.as_deref() {
            Some("") => {
                self.error("server.data", "a directory has a name");
                base.data
            }
            Some(dir) => dir.into(),
            None => base.data,
        };
        let sync = raw.sync.as_ref().map_or(base.sync, |s| self.sync("server.sync", s));
        let low_space = self.low_space(raw.low_space.as_ref(), base.low_space);
        let rtmp = self.rtmp(raw);
        let rtmps = self.rtmps(raw);
        let viewers = match &raw.viewers {
            Some(raw) => self.viewers(raw),
            None => ViewerServer::default(),
        };
        let internal = raw.internal.as_ref().and_then(|a| a.listen.as_ref());
        let listen = self.listen("server.internal.listen", internal, base.internal.listen);
        let internal = InternalServer { listen };
        let admin = raw.admin.as_ref().and_then(|a| a.listen.as_ref());
        let listen = self.listen("server.admin.listen", admin, base.admin.listen);
        let listeners = [
            ("server.rtmp.listen", rtmp.listen),
            ("server.rtmps.listen", rtmps.as_ref().map_or(NOWHERE, |r| r.listen)),
            ("server.viewers.listen", viewers.listen),
            ("server.internal.listen", internal.listen),
            ("server.admin.listen", listen),
        ];
        self.apart(&listeners);
        let range = Duration::ZERO..=DRAIN_TIMEOUT_MAX;
        let drain_timeout =
            self.duration("server.drainTimeout", &raw.drain_timeout, base.drain_timeout, range);
        let admin = AdminServer { listen };
        Server { data, sync, low_space, rtmp, rtmps, viewers, internal, admin, drain_timeout }
    }

    fn low_space(&mut self, raw: Option<&String>, default: u64) -> u64 {
        let Some(text) = raw else { return default };
        let path = "server.lowSpace";
        match units::bytes(text) {
            Ok(n) => {
                let show = |n| units::HumanBytes(n).to_string();
                self.range(path, text, n, LOW_SPACE_MIN..=LOW_SPACE_MAX, show);
                n
            }
            Err(e) => {
                self.error(path, e.to_string());
                default
            }
        }
    }

    fn rtmp(&mut self, raw: &RawServer) -> RtmpServer {
        let base = RtmpServer::default();
        let Some(raw) = &raw.rtmp else { return base };
        let listen = self.listen("server.rtmp.listen", raw.listen.as_ref(), base.listen);
        let mut max_connections = base.max_connections;
        if let Some(text) = &raw.max_connections {
            let path = "server.rtmp.maxConnections";
            match text.parse::<u32>() {
                Ok(n) => {
                    self.range(path, text, n, 1..=CONNECTIONS_MAX, |n| n.to_string());
                    max_connections = n;
                }
                Err(_) => self.error(path, format!("{text:?} is not a whole number")),
            }
        }
        let idle = IDLE_TIMEOUT_MIN..=IDLE_TIMEOUT_MAX;
        let path = "server.rtmp.idleTimeout";
        let idle_timeout = self.duration(path, &raw.idle_timeout, base.idle_timeout, idle);
        RtmpServer { listen, max_connections, idle_timeout }
    }

    fn rtmps(&mut self, raw: &RawServer) -> Option<RtmpsServer> {
        let raw = raw.rtmps.as_ref()?;
        let path = "server.rtmps.listen";
        let listen = self.listen(path, raw.listen.as_ref(), RtmpsServer::LISTEN);
        Some(RtmpsServer { listen, tls: self.tls("server.rtmps.tls", &raw.tls) })
    }

    fn tls(&mut self, path: &str, raw: &RawTls) -> TlsFiles {
        for (field, name) in [("certificate", &raw.certificate), ("key", &raw.key)] {
            if name.is_empty() {
                self.error(&format!("{path}.{field}"), "a file has a name");
            }
        }
        TlsFiles { certificate: (&raw.certificate).into(), key: (&raw.key).into() }
    }

    fn viewers(&mut self, raw: &RawViewers) -> ViewerServer {
        let base = ViewerServer::default();
        let listen = self.listen("server.viewers.listen", raw.listen.as_ref(), base.listen);
        let tls = raw.tls.as_ref().map(|raw| self.tls("server.viewers.tls", raw));
        let cors_origins = match raw.cors_origins.as_deref() {
            None => CorsOrigins::Any,
            Some([star]) if star == "*" => CorsOrigins::Any,
            Some(list) => {
                for (i, text) in list.iter().enumerate() {
                    let path = format!("server.viewers.corsOrigins[{i}]");
                    if text == "*" {
                        self.error(&path, "\"*\" allows every page and stands alone");
                    } else if http_url(text).is_none_or(|rest| rest.contains('/')) {
                        let hint = "write scheme://host[:port] (for example https://example.com)";
                        self.error(&path, format!("{text:?} is not an origin: {hint}"));
                    }
                }
                CorsOrigins::Only(list.to_vec())
            }
        };
        let public_url = raw.public_url.as_ref().map(|text| {
            if http_url(text).is_none() {
                let hint = "write http:// or https://, a host, and no query";
                self.error(
                    "server.viewers.publicUrl",
                    format!("{text:?} is not a base URL: {hint}"),
                );
            }
            text.trim_end_matches('/').to_owned()
        });
        ViewerServer { listen, tls, cors_origins, public_url }
    }

    fn listen(&mut self, path: &str, raw: Option<&String>, default: SocketAddr) -> SocketAddr {
        let Some(text) = raw else { return default };
        text.parse().unwrap_or_else(|_| {
            let hint = "write an IP address and a port (for example 0.0.0.0:8080 or [::]:8080)";
            self.error(path, format!("{text:?} is not a listen address: {hint}"));
            // Port 0 clashes with nothing: one mistake gives one error.
            SocketAddr::new(default.ip(), 0)
        })
    }

    /// No two listeners may want the same port of the same address. Port 0 is any free port.
    fn apart(&mut self, listeners: &[(&str, SocketAddr)]) {
        for (i, (path, addr)) in listeners.iter().enumerate() {
            for (other_path, other) in &listeners[..i] {
                let any = addr.ip().is_unspecified() || other.ip().is_unspecified();
                let clash = addr.port() == other.port() && (any || addr.ip() == other.ip());
                if !clash || addr.port() == 0 {
                    continue;
                }
                // The error belongs where somebody wrote an address.
                if self.places.written(path) {
                    self.error(path, format!("{addr} clashes with {other_path}, {other}"));
                } else {
                    self.error(other_path, format!("{other} clashes with {path}, {addr}"));
                }
            }
        }
    }
}

//! What a server says of itself on stdout: `key: value` lines, for people and for scripts that wait
//! for them. `admin` is the last of a node's own.

use crate::cmd::common;
use crate::cmd::roles::Bound;
use crate::manifest::types::Manifest;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where encoders publish and other nodes read, of a server that records.
pub fn recorder(bound: &Bound) {
    common::out(format!("rtmp: rtmp://{}/live", local(bound.rtmp())));
    if let Some(addr) = bound.rtmps() {
        common::out(format!("rtmps: rtmps://{}/live", local(addr)));
    }
    common::out(format!("internal: http://{}", local(bound.internal())));
    common::out(format!("admin: http://{}", bound.admin()));
}

/// The base URL of the viewers' listener.
pub fn viewers_url(manifest: &Manifest, bound: &Bound) -> String {
    let viewers = &manifest.server.viewers;
    let scheme = if viewers.tls.is_some() { "https" } else { "http" };
    let own = || format!("{scheme}://{}", local(bound.viewers()));
    viewers.public_url.clone().unwrap_or_else(own)
}

/// An address as somebody on this machine would type it.
pub fn local(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Where to publish, channel by channel, with the first key of each: `key: value` lines.
pub fn keys(manifest: &Manifest, of_channel: impl Fn(&str)) {
    for channel in &manifest.channels {
        let name = &channel.name;
        if manifest.channels.len() > 1 {
            common::out(format!("channel: {name}"));
        }
        match channel.keys.first() {
            Some(key) => common::out(format!("key: {}", key.expose())),
            None => common::say(format!("channel {name} has no stream key: nobody can publish")),
        }
        of_channel(name.as_str());
    }
}

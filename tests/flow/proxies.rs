//! What operators put in front of edges: a balancer that sends each request to the next edge
//! (nginx), and a cache (Varnish) whose key is the path and the three directives.

use crate::process::Process;
use crate::server::{local, within};
use reqwest::Url;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A port that was free a moment ago: neither program says which it got.
fn free_port() -> SocketAddr {
    TcpListener::bind(local()).and_then(|l| l.local_addr()).expect("a port")
}

async fn listens(addr: SocketAddr) {
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    let connected = async {
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            pause.tick().await;
        }
    };
    within("a proxy to listen", connected).await;
}

/// A running proxy.
pub(crate) struct Proxy {
    _process: Process,
    addr: SocketAddr,
}

impl Proxy {
    /// Its base URL.
    pub(crate) fn base(&self) -> Url {
        format!("http://{}/", self.addr).parse().expect("a URL")
    }
}

/// nginx that asks the edges in turn and keeps nothing.
pub(crate) async fn balancer(dir: &Path, edges: &[SocketAddr]) -> Proxy {
    let (dir, addr) = (dir.join("nginx"), free_port());
    std::fs::create_dir_all(dir.join("tmp")).expect("a directory");
    let servers: String = edges.iter().map(|e| format!("server {e};\n")).collect();
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/tmp/{kind};\n", dir.display()))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nevents {{}}\n\
         http {{\naccess_log off;\n{temp}\
         upstream edges {{\n{servers}keepalive 64;\n}}\n\
         server {{\nlisten {addr};\nlocation / {{\nproxy_pass http://edges;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection '';\n}}\n}}\n}}\n",
        dir = dir.display()
    );
    let conf = dir.join("nginx.conf");
    std::fs::write(&conf, text).expect("written");
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-c").arg(&conf).arg("-p").arg(&dir).arg("-e").arg(dir.join("error"));
    let process = Process::start(&mut nginx);
    listens(addr).await;
    Proxy { _process: process, addr }
}

/// The documented key: the path, and the directives of blocking reload and delta updates. Requests
/// for the same wait for one answer.
fn vcl(edges: &[SocketAddr]) -> String {
    let mut text = String::from("vcl 4.1;\nimport directors;\n");
    for (n, edge) in edges.iter().enumerate() {
        let (host, port) = (edge.ip(), edge.port());
        text += &format!("backend e{n} {{ .host = \"{host}\"; .port = \"{port}\"; }}\n");
    }
    text += "sub vcl_init {\n  new edges = directors.round_robin();\n";
    for n in 0..edges.len() {
        text += &format!("  edges.add_backend(e{n});\n");
    }
    text += "}\nsub vcl_recv { set req.backend_hint = edges.backend(); }\nsub vcl_hash {\n  \
             hash_data(regsub(req.url, \"\\?.*\", \"\"));\n";
    for name in ["_HLS_msn", "_HLS_part", "_HLS_skip"] {
        text += &format!(
            "  if (req.url ~ \"[?&]{name}=\") {{\n    \
             hash_data(\"{name}=\" + regsub(req.url, \".*[?&]{name}=([^&]*).*\", \"\\1\"));\n  }}\n"
        );
    }
    // What is over its time is over: a stale playlist stops a player.
    text + "  return (lookup);\n}\nsub vcl_backend_response {\n  set beresp.grace = 0s;\n  \
            set beresp.keep = 0s;\n}\n"
}

/// Varnish, and the log of what it answered from where.
pub(crate) struct Cache {
    pub(crate) proxy: Proxy,
    log: Process,
}

/// Starts Varnish in front of the edges.
pub(crate) async fn cache(dir: &Path, edges: &[SocketAddr]) -> Cache {
    let (work, addr) = (dir.join("varnish"), free_port());
    std::fs::create_dir_all(&work).expect("a directory");
    let file = dir.join("cache.vcl");
    std::fs::write(&file, vcl(edges)).expect("written");
    let mut varnish = Command::new("varnishd");
    varnish.args(["-F", "-j", "none", "-s", "malloc,256m", "-a", &addr.to_string()]);
    let process = Process::start(varnish.arg("-n").arg(&work).arg("-f").arg(&file));
    listens(addr).await;
    let mut log = Command::new("varnishncsa");
    log.arg("-n").arg(&work).args(["-F", "%{Varnish:hitmiss}x %s %U%q"]);
    Cache { proxy: Proxy { _process: process, addr }, log: Process::start(&mut log) }
}

/// Answers from the cache, and all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hits {
    pub(crate) hits: usize,
    pub(crate) all: usize,
}

impl Cache {
    /// Of parts and segments, and of blocking reloads.
    pub(crate) fn hits(&self) -> (Hits, Hits) {
        let (mut media, mut reloads) = (Hits::default(), Hits::default());
        for line in self.log.printed().lines() {
            let mut words = line.split(' ');
            let (Some(how), Some("200"), Some(url)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let of = match url.split_once('?') {
                None if url.ends_with(".m4s") => &mut media,
                Some((_, query)) if query.contains("_HLS_msn=") => &mut reloads,
                _ => continue,
            };
            of.all += 1;
            of.hits += usize::from(how == "hit");
        }
        (media, reloads)
    }
}

//! What operators put in front of edges: a balancer that sends each request to the next edge
//! (nginx), and caches (Varnish, nginx) whose key is the path and the three directives, as
//! `man/castctl-hls.7` has them.

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

/// The manual page with the caches' configurations.
const MANUAL: &str = include_str!("../../man/castctl-hls.7");

/// nginx with this in its http block, listening at `addr`.
async fn nginx(dir: &Path, addr: SocketAddr, http: &str) -> Proxy {
    std::fs::create_dir_all(dir.join("tmp")).expect("a directory");
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/tmp/{kind};\n", dir.display()))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {}/pid;\nevents {{}}\n\
         http {{\naccess_log off;\n{temp}{http}}}\n",
        dir.display()
    );
    let conf = dir.join("nginx.conf");
    std::fs::write(&conf, text).expect("written");
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-c").arg(&conf).arg("-p").arg(dir).arg("-e").arg(dir.join("error"));
    let process = Process::start(&mut nginx);
    listens(addr).await;
    Proxy { _process: process, addr }
}

/// nginx that asks the edges in turn and keeps nothing.
pub(crate) async fn balancer(dir: &Path, edges: &[SocketAddr]) -> Proxy {
    let (dir, addr) = (dir.join("nginx"), free_port());
    let servers: String = edges.iter().map(|e| format!("server {e};\n")).collect();
    let http = format!(
        "upstream edges {{\n{servers}keepalive 64;\n}}\n\
         server {{\nlisten {addr};\nlocation / {{\nproxy_pass http://edges;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection '';\n}}\n}}\n"
    );
    nginx(&dir, addr, &http).await
}

/// nginx that keeps answers, as the manual page has it.
pub(crate) async fn nginx_cache(dir: &Path, edges: &[SocketAddr]) -> Proxy {
    let (dir, addr) = (dir.join("nginx-cache"), free_port());
    let text = of_the_page("nginx", edges);
    let kept = "/var/cache/nginx/castctl";
    assert!(text.contains(kept) && text.contains("listen 8000;"), "{text}");
    let text = text.replace(kept, &dir.join("kept").display().to_string());
    nginx(&dir, addr, &text.replace("listen 8000;", &format!("listen {addr};"))).await
}

/// A configuration out of the manual page, as an operator would copy it, with the test's own edges
/// in the place of the page's two.
fn of_the_page(name: &str, edges: &[SocketAddr]) -> String {
    let head = format!(".\\\" example {name}");
    let lines = MANUAL.lines().skip_while(|l| *l != head).skip(1);
    let text: Vec<&str> = lines.take_while(|l| *l != ".\\\" end").collect();
    let mut text = text.join("\n").replace("\\e", "\\").replace("\\-", "-") + "\n";
    assert_eq!(edges.len(), 2, "the page has two");
    for (n, edge) in edges.iter().enumerate() {
        let (host, port) = (format!("192.0.2.{}", n + 1), edge.port());
        assert!(text.contains(&host), "{name}: {text}");
        let apart = format!(".host = \"{host}\"; .port = \"8080\"");
        text = text.replace(&apart, &format!(".host = \"{}\"; .port = \"{port}\"", edge.ip()));
        text = text.replace(&format!("{host}:8080"), &edge.to_string());
    }
    text
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
    std::fs::write(&file, of_the_page("varnish", edges)).expect("written");
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

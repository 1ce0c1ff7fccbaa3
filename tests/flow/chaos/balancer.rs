//! What a sane operator puts in front of origins and edges: HAProxy, which asks everyone's
//! `/readyz` twice a second, ends connections to who does not answer, and sends what was not
//! answered to the next one.

use crate::chaos::link::own_port;
use crate::oracle::NOBODY;
use crate::process::Process;
use crate::server::within;
use reqwest::Url;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A node behind a balancer: where its traffic goes, and its admin listener.
pub(crate) struct Behind {
    pub(crate) name: String,
    pub(crate) serves: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A running HAProxy.
pub(crate) struct Balancer {
    pub(crate) process: Process,
    /// Where encoders connect.
    pub(crate) rtmp: SocketAddr,
    http: SocketAddr,
}

fn servers(all: &[Behind]) -> String {
    let line = |b: &Behind| {
        let Behind { name, serves, admin } = b;
        format!("  server {name} {serves} check port {}\n", admin.port())
    };
    all.iter().map(line).collect()
}

/// A blocked reload is held for three target durations, a session's first media for 12 s: what an
/// edge holds is not to be taken for its silence.
fn configuration(rtmp: (SocketAddr, &[Behind]), http: (SocketAddr, &[Behind])) -> String {
    let (rtmp_at, origins) = (rtmp.0, servers(rtmp.1));
    let (http_at, edges) = (http.0, servers(http.1));
    format!(
        "global\n  maxconn 4000\n  stats timeout 5s\n\
         defaults\n  timeout connect 1s\n  timeout check 500ms\n  timeout client 60s\n  \
         timeout http-keep-alive 60s\n  retries 3\n  option redispatch 1\n  \
         option httpchk GET /readyz\n  \
         default-server inter 500ms fastinter 200ms downinter 500ms fall 2 rise 2 \
         on-marked-down shutdown-sessions\n\
         listen rtmp\n  mode tcp\n  bind {rtmp_at}\n  balance leastconn\n  timeout server 60s\n\
         {origins}\
         listen viewers\n  mode http\n  bind {http_at}\n  balance roundrobin\n  \
         timeout server 15s\n  \
         http-error status 503 content-type text/plain string nobody hdr {NOBODY} 1\n  \
         retry-on conn-failure empty-response response-timeout 503\n\
         {edges}"
    )
}

impl Balancer {
    /// Starts it in front of origins and edges.
    pub(crate) async fn start(dir: &Path, origins: &[Behind], edges: &[Behind]) -> Balancer {
        let (rtmp, http) = (own_port(), own_port());
        let file = dir.join("haproxy.cfg");
        let text = configuration((rtmp, origins), (http, edges));
        std::fs::write(&file, text).expect("written");
        let mut command = Command::new(program());
        let process = Process::start(command.arg("-db").arg("-f").arg(&file));
        let listens = async {
            let mut pause = tokio::time::interval(Duration::from_millis(50));
            while tokio::net::TcpStream::connect(http).await.is_err() {
                pause.tick().await;
            }
        };
        within("HAProxy to listen", listens).await;
        Balancer { process, rtmp, http }
    }

    /// Where viewers go.
    pub(crate) fn base(&self) -> Url {
        format!("http://{}/", self.http).parse().expect("a URL")
    }
}

/// Debian keeps it out of a user's PATH.
fn program() -> &'static str {
    let debian = "/usr/sbin/haproxy";
    if Path::new(debian).exists() { debian } else { "haproxy" }
}

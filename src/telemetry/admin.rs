//! The admin listener: `/metrics`, `/livez`, `/readyz`, `/phase`, for probes and scrapers on a
//! trusted network. No password, and nothing here changes anything.

use crate::rt::drain::{Drain, Phase};
use crate::rt::listen::{BindError, Listener};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Ready;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The OpenMetrics text format (OpenMetrics 1.0, "Protocol Negotiation").
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// How long a request that runs may finish once the listener is told to stop: every answer here is
/// made at once, so what takes longer is a peer that does not read.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// The bound listener and what it shows.
#[derive(Debug)]
pub struct Admin {
    listener: Listener,
    shown: Shown,
}

#[derive(Debug, Clone)]
struct Shown {
    metrics: Metrics,
    ready: Ready,
}

impl Admin {
    /// Binds; fails fast, with the address in the message.
    pub async fn bind(
        addr: SocketAddr,
        metrics: Metrics,
        ready: Ready,
    ) -> Result<Admin, BindError> {
        let listener = Listener::bind(addr, "admin").await?;
        Ok(Admin { listener, shown: Shown { metrics, ready } })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Serves until `stop`, which is given after everything else has ended: `/readyz` says
    /// "draining" in the meantime (`Ready::drain`).
    pub async fn serve(self, stop: Drain) -> io::Result<()> {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/phase", get(phase))
            .fallback(nothing)
            .with_state(self.shown);
        let told = stop.clone();
        let server = axum::serve(self.listener.into_inner(), router)
            .with_graceful_shutdown(async move { told.wait().await });
        let overdue = async {
            stop.wait().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            ended = server => ended,
            () = overdue => Ok(()),
        }
    }
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body)
        .into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    match shown.metrics.text() {
        Ok(text) => answer(StatusCode::OK, OPENMETRICS, text),
        Err(_) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "a metric cannot be encoded\n".into())
        }
    }
}

/// Alive is being able to answer, in every phase: a restart helps against nothing else.
async fn livez() -> Response {
    answer(StatusCode::OK, TEXT, "ok\n".into())
}

async fn readyz(State(shown): State<Shown>) -> Response {
    let readiness = shown.ready.readiness();
    let waiting: Vec<_> = readiness
        .waiting
        .iter()
        .map(|(name, why)| serde_json::json!({"name": name, "why": why}))
        .collect();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "phase": word(readiness.phase),
        "ready": readiness.ready,
        "waiting": waiting,
    });
    answer(status, JSON, format!("{body}\n"))
}

async fn phase(State(shown): State<Shown>) -> Response {
    answer(StatusCode::OK, TEXT, format!("{}\n", word(shown.ready.phase())))
}

async fn nothing() -> Response {
    let body = "here are /metrics, /livez, /readyz and /phase\n";
    answer(StatusCode::NOT_FOUND, TEXT, body.into())
}

/// The phase in one word.
fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Draining => "draining",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fetch(addr: SocketAddr, path: &str) -> (u16, String, String) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let got = client.get(format!("http://{addr}{path}")).send().await.expect(path);
        let kind = got.headers()["content-type"].to_str().expect("text").to_owned();
        (got.status().as_u16(), kind, got.text().await.expect(path))
    }

    #[tokio::test]
    async fn probes_see_the_whole_life() {
        let (metrics, ready, stop) = (Metrics::new(), Ready::new(), Drain::new());
        let any = "127.0.0.1:0".parse().expect("an address");
        let admin = Admin::bind(any, metrics.clone(), ready.clone()).await.expect("binds");
        let addr = admin.addr();
        let task = crate::rt::task::spawn("admin", admin.serve(stop.clone()));
        let latch = ready.latch("disk");

        let (status, kind, body) = fetch(addr, "/readyz").await;
        let starting = concat!(
            r#"{"phase":"starting","ready":false,"#,
            r#""waiting":[{"name":"disk","why":"not open yet"}]}"#
        );
        assert_eq!((status, kind.as_str(), body.trim()), (503, JSON, starting));
        assert_eq!(fetch(addr, "/livez").await.0, 200, "alive before it is ready");

        latch.open();
        let serving = r#"{"phase":"serving","ready":true,"waiting":[]}"#;
        let (status, _, body) = fetch(addr, "/readyz").await;
        assert_eq!((status, body.trim()), (200, serving));
        assert_eq!(fetch(addr, "/phase").await.2, "serving\n");

        latch.close("disk full");
        let (status, _, body) = fetch(addr, "/readyz").await;
        assert!(status == 503 && body.contains("disk full"), "{status} {body}");
        latch.open();

        metrics.room("log").counter("records", "Records").inc_by(5);
        let (status, kind, body) = fetch(addr, "/metrics").await;
        assert_eq!((status, kind.as_str()), (200, OPENMETRICS));
        assert!(body.contains("\ncastctl_log_records_total 5\n"), "{body}");

        ready.drain();
        assert_eq!(fetch(addr, "/readyz").await.0, 503);
        assert_eq!(fetch(addr, "/phase").await.2, "draining\n");
        assert_eq!(fetch(addr, "/livez").await.0, 200, "alive while it drains");
        assert_eq!(fetch(addr, "/").await.0, 404);

        stop.start();
        let ended = task.await.expect("not aborted").expect("no panic");
        assert!(ended.is_ok());
        let again = tokio::net::TcpStream::connect(addr).await;
        assert!(again.is_err(), "nobody listens after the stop");
    }

    #[tokio::test]
    async fn a_peer_that_does_nothing_cannot_hold_the_stop() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let admin = Admin::bind(any, Metrics::new(), Ready::new()).await.expect("binds");
        let (addr, stop) = (admin.addr(), Drain::new());
        let task = crate::rt::task::spawn("admin", admin.serve(stop.clone()));
        let mut idle = tokio::net::TcpStream::connect(addr).await.expect("connects");
        tokio::io::AsyncWriteExt::write_all(&mut idle, b"GET /livez HT").await.expect("writes");
        assert_eq!(fetch(addr, "/livez").await.0, 200, "the connection before it is accepted");
        stop.start();
        let ended = tokio::time::timeout(30 * STOP_GRACE, task).await;
        assert!(ended.expect("ends by itself").expect("not aborted").is_some());
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let first = Admin::bind(any, Metrics::new(), Ready::new()).await.expect("binds");
        let addr = first.addr();
        let error = Admin::bind(addr, Metrics::new(), Ready::new()).await.expect_err("taken");
        assert!(error.to_string().starts_with(&format!("cannot listen on {addr} for admin: ")));
    }
}

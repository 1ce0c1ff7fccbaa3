//! The API server over a real socket, with a registry in a file.

use crate::api::cluster::HELD_MAX;
use crate::api::peers::{Peers, Signer};
use crate::api::types::Refusal;
use crate::control::metrics::Api;
use crate::control::openapi::ROUTES;
use crate::control::registry::{Database, Registry};
use crate::control::routes::BODY_MAX;
use crate::control::server::{Config, Server};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::task;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Ready;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use std::time::Duration;
use tempfile::TempDir;

/// A server, its address, and what it needs to live.
async fn started() -> (String, Drain, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = Database::File(dir.path().join("registry.db"));
    let registry = Registry::open(&file, &[]).await.expect("opens");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let config =
        Config { listen, drain_timeout: Duration::from_secs(1), secret: None, places: true };
    let api = Api::register(&Metrics::new());
    let server = Server::bind(config, registry, api, Clock::system()).await.expect("a port");
    let url = format!("http://{}", server.addr());
    let (ready, drain) = (Ready::new(), Drain::new());
    let latch = ready.latch("api");
    task::spawn("api", server.serve(latch, drain.clone()));
    (url, drain, dir)
}

/// A request as the description has it; the status, and the refusal's words.
async fn asked(base: &str, method: &str, path: &str, body: String) -> (StatusCode, String) {
    let of =
        [("channel", "main"), ("generation", "1"), ("session", "1"), ("key", "k"), ("node", "n")];
    let path = of.iter().fold(path.to_owned(), |p, (name, v)| p.replace(&format!("{{{name}}}"), v));
    let method: Method = method.parse().expect("a method");
    let request = Client::new().request(method, format!("{base}{path}")).body(body);
    let mut answer = request.send().await.expect("an answer");
    let status = answer.status();
    // An answer that does not end is known by its beginning.
    let first = answer.chunk().await.ok().flatten().unwrap_or_default();
    let said: Value = serde_json::from_slice(&first).unwrap_or_default();
    (status, said["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_request_of_the_description_is_answered_and_no_other() {
    let (base, drain, _dir) = started().await;
    let peers = Peers::new(&base, Signer::stranger()).expect("an address");
    // Ready once the table has been read.
    while peers.stream("/v1/table").await.is_err() {
        tokio::task::yield_now().await;
    }
    for r in ROUTES {
        let (status, said) = asked(&base, r.method, r.path, "{}".into()).await;
        let known = !said.contains("nothing here") && !said.contains("no such request");
        assert!(known, "{} {}: {status} {said}", r.method, r.path);
    }
    for (method, path) in [
        ("GET", "/"),
        ("PATCH", "/v1/channels"),
        ("GET", "/v1/channels/main/keys"),
        ("GET", "/v1/channels/main/generations/1/end"),
        ("POST", "/v1/nodes/n"),
    ] {
        let (status, said) = asked(&base, method, path, "{}".into()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {said}");
    }
    drain.start();
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_reason() {
    let (base, drain, _dir) = started().await;
    let long = format!("\"{}\"", "x".repeat(BODY_MAX));
    let log = r#"{"channel":"main","session":1,"generation":1},"#.repeat(HELD_MAX + 1);
    let held = format!("{{\"logs\":[{}]}}", log.trim_end_matches(','));
    for (path, body, says) in [
        ("/v1/nodes/n/logs", &*held, "more than 1000 logs at once"),
        ("/v1/admit", "no json", "the body: expected ident"),
        ("/v1/admit", "{}", "missing field `key`"),
        ("/v1/admit", &*long, "length limit exceeded"),
        ("/v1/channels/No/keys", "{}", "channel name \"No\""),
    ] {
        let (status, said) = asked(&base, "POST", path, body.to_owned()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {said}");
        assert!(said.contains(says), "{path}: {said}");
    }
    let peers = Peers::new(&base, Signer::stranger()).expect("an address");
    let none: Result<Value, Refusal> = peers.get("/v1/channels/main").await;
    assert!(matches!(none, Err(Refusal::NoChannel)), "{none:?}");
    drain.start();
}

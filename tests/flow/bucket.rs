//! Object stores on this machine, and a proxy in front of them in which things go wrong: answers
//! of 500 and 503, connections that break in the middle of a part or before the answer, slow
//! bodies, permission that is gone for a while. It counts what the store has acknowledged. It also
//! makes Google's client talk to a server that speaks S3, which stands in for Google's own.

use crate::process::{Process, run};
use crate::server::{local, within};
use bytes::Bytes;
use castctl::base::random::Random;
use castctl::base::time::Wall;
use castctl::rt::clock::Clock;
use castctl::rt::task;
use castctl::store::open::{Access, open};
use castctl::store::port::Store;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The bucket that every test uses.
pub(crate) const BUCKET: &str = "castctl-test";

/// Where what `scripts/setup test` installs lies.
fn target(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
    assert!(path.exists(), "{} is missing: run scripts/setup test", path.display());
    path
}

fn free_port() -> SocketAddr {
    TcpListener::bind(local()).and_then(|l| l.local_addr()).expect("a port")
}

/// A server that speaks S3: moto.
pub(crate) struct Moto {
    pub(crate) addr: SocketAddr,
    _process: Process,
}

impl Moto {
    /// Starts it, with an empty bucket.
    pub(crate) async fn start() -> Moto {
        let addr = free_port();
        let mut command = Command::new(target("python/bin/python"));
        command.args(["-c", "from moto.server import main; main()"]);
        command.args(["-H", "127.0.0.1", "-p", &addr.port().to_string()]);
        let mut process = Process::start(&mut command);
        process.says("Running on").await;
        let made = reqwest::Client::new().put(format!("http://{addr}/{BUCKET}")).send().await;
        assert!(made.expect("it answers").status().is_success());
        Moto { addr, _process: process }
    }
}

impl Moto {
    /// From now on strangers may get what is in the bucket, and do nothing else.
    pub(crate) async fn public(self) -> Moto {
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": format!("arn:aws:s3:::{BUCKET}/*"),
            }],
        });
        let put = reqwest::Client::new().put(format!("http://{}/{BUCKET}?policy", self.addr));
        let put = put.body(policy.to_string()).send().await.expect("it answers");
        assert!(put.status().is_success(), "{put:?}");
        self
    }
}

/// Another server that speaks S3, and checks who asks: s3s-fs, over a directory.
pub(crate) struct S3s {
    addr: SocketAddr,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl S3s {
    /// Starts it, with an empty bucket.
    pub(crate) async fn start() -> S3s {
        let (addr, dir) = (free_port(), tempfile::tempdir().expect("a directory"));
        std::fs::create_dir(dir.path().join(BUCKET)).expect("made");
        let mut command = Command::new(target("s3s/bin/s3s-fs"));
        command.args(["--access-key", "test", "--secret-key", "testtest"]);
        command.args(["--host", "127.0.0.1", "--port", &addr.port().to_string()]);
        let process = Process::start(command.arg(dir.path()));
        listens(addr).await;
        S3s { addr, _process: process, _dir: dir }
    }

    /// A store in its bucket.
    pub(crate) fn store(&self, prefix: &str) -> Store {
        s3(self.addr, prefix)
    }
}

async fn listens(addr: SocketAddr) {
    within("the server to listen", async {
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The settings of an S3 client that asks there.
fn s3_settings(addr: SocketAddr) -> Vec<(String, String)> {
    of(&[
        ("AWS_ENDPOINT", &format!("http://{addr}")),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "testtest"),
    ])
}

fn s3(addr: SocketAddr, prefix: &str) -> Store {
    let access = Access::from_iter(s3_settings(addr));
    open(&format!("s3://{BUCKET}/{prefix}"), &access).expect("a store")
}

/// The account and key that everybody's emulator of Azure has.
const AZURE: [&str; 2] = [
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
];

/// Makes a container, which is no business of a port's: words are address, account, key, container.
const CONTAINER: &str = r#"
const [host, account, key, name] = process.argv.slice(1);
const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2021-08-06' };
const own = Object.entries(headers).map(([n, v]) => `${n}:${v}\n`).join('');
const text = `PUT${'\n'.repeat(12)}${own}/${account}/${account}/${name}\nrestype:container`;
const hmac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64'));
headers.authorization = `SharedKey ${account}:${hmac.update(text).digest('base64')}`;
const options = { method: 'PUT', headers: { ...headers, 'content-length': 0 } };
const url = `http://${host}/${account}/${name}?restype=container`;
require('http').request(url, options, (r) => process.exit(r.statusCode === 201 ? 0 : 1)).end();
"#;

/// A server that speaks Azure's protocol: azurite.
pub(crate) struct Azurite {
    addr: SocketAddr,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Azurite {
    /// Starts it, with an empty container.
    pub(crate) async fn start() -> Azurite {
        let addr = free_port();
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(target("azurite/node_modules/.bin/azurite-blob"));
        command.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]);
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &addr.port().to_string()]);
        command.current_dir(dir.path());
        let process = Process::start(&mut command);
        listens(addr).await;
        let mut node = Command::new("node");
        node.args(["-e", CONTAINER, &addr.to_string(), AZURE[0], AZURE[1], BUCKET]);
        let made = run(&mut node).await;
        assert_eq!(made.code, Some(0), "{made:?}");
        Azurite { addr, _process: process, _dir: dir }
    }

    /// How its container is reached, as the environment would say it.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let [account, key] = AZURE;
        let url = format!("http://{}/{account}", self.addr);
        of(&[
            ("AZURE_STORAGE_ACCOUNT_NAME", account),
            ("AZURE_STORAGE_ACCOUNT_KEY", key),
            ("AZURE_STORAGE_ENDPOINT", &url),
        ])
    }

    /// How its container is reached.
    pub(crate) fn access(&self) -> Access {
        Access::from_iter(self.settings())
    }
}

fn of(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered as the store answers it.
    None,
    /// 500, and the store never hears of it.
    Broken,
    /// 503 with the words of a store that has had enough.
    Throttled,
    /// The connection breaks off in the middle of the body.
    Reset,
    /// The store does it, and the answer is lost.
    Lost,
    /// The body crawls.
    Slow,
}

/// A request that came through.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    /// When it came.
    pub(crate) at: Wall,
    /// Bytes of its body.
    pub(crate) bytes: usize,
    /// The client was told that it is done.
    pub(crate) acknowledged: bool,
}

struct Inner {
    to: SocketAddr,
    clock: Clock,
    client: reqwest::Client,
    faults: Mutex<Option<Random>>,
    denied: AtomicBool,
    google: AtomicBool,
    asked: Mutex<Vec<Asked>>,
    faulted: AtomicUsize,
}

/// The proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    inner: Arc<Inner>,
}

impl Proxy {
    /// In front of a store.
    pub(crate) async fn before(to: SocketAddr) -> Proxy {
        let listener = tokio::net::TcpListener::bind(local()).await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let inner = Arc::new(Inner {
            to,
            clock: Clock::system(),
            client: reqwest::Client::new(),
            faults: Mutex::default(),
            denied: AtomicBool::default(),
            google: AtomicBool::default(),
            asked: Mutex::default(),
            faulted: AtomicUsize::default(),
        });
        let proxy = Proxy { addr, inner };
        let served = proxy.clone();
        task::spawn("proxy", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proxy = served.clone();
                task::spawn("proxied", async move {
                    let each = service_fn(move |request| proxy.clone().answer(request));
                    let http = hyper::server::conn::http1::Builder::new();
                    // A connection that a fault ends is no news.
                    let _ = http.serve_connection(TokioIo::new(stream), each).await;
                });
            }
        });
        proxy
    }

    /// From now on one request in four goes wrong, by the seed.
    pub(crate) fn faulty(&self, seed: u64) {
        *self.inner.faults.lock().expect("no panic") = Some(Random::new(seed));
    }

    /// From now on all is well.
    pub(crate) fn well(&self) {
        *self.inner.faults.lock().expect("no panic") = None;
        self.inner.denied.store(false, Ordering::Relaxed);
    }

    /// From now on nobody may do anything.
    pub(crate) fn deny(&self) {
        self.inner.denied.store(true, Ordering::Relaxed);
    }

    /// From now on everybody may do everything again; what goes wrong still does.
    pub(crate) fn allow(&self) {
        self.inner.denied.store(false, Ordering::Relaxed);
    }

    /// How many requests went wrong.
    pub(crate) fn faulted(&self) -> usize {
        self.inner.faulted.load(Ordering::Relaxed)
    }

    /// What came through so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().expect("no panic").clone()
    }

    /// How often an object was put and the client was told so, by its path.
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for asked in self.asked().into_iter().filter(|a| a.acknowledged) {
            let whole = asked.method == Method::PUT && !asked.query.contains("partNumber");
            let parts = asked.method == Method::POST && asked.query.contains("uploadId");
            *count.entry(asked.path).or_default() += usize::from(whole || parts);
        }
        count.retain(|_, n| *n > 0);
        count
    }

    /// The settings of an S3 client that goes through here.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        s3_settings(self.addr)
    }

    /// A store through here.
    pub(crate) fn store(&self, prefix: &str) -> Store {
        s3(self.addr, prefix)
    }

    /// The settings of Google's client that goes through here, from now on mapped to S3.
    pub(crate) fn as_google(&self) -> Vec<(String, String)> {
        self.inner.google.store(true, Ordering::Relaxed);
        let account = serde_json::json!({
            "gcs_base_url": format!("http://{}", self.addr),
            "disable_oauth": true,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        });
        of(&[("GOOGLE_SERVICE_ACCOUNT_KEY", &account.to_string())])
    }

    /// Google's client through here.
    pub(crate) fn google(&self, prefix: &str) -> Store {
        let access = Access::from_iter(self.as_google());
        open(&format!("gs://{BUCKET}/{prefix}"), &access).expect("a store")
    }

    fn fault(&self) -> Fault {
        let mut faults = self.inner.faults.lock().expect("no panic");
        let Some(random) = faults.as_mut() else { return Fault::None };
        let all = [Fault::Broken, Fault::Throttled, Fault::Reset, Fault::Lost, Fault::Slow];
        match random.below(4) {
            0 => all[random.below(all.len() as u64) as usize],
            _ => Fault::None,
        }
    }

    async fn answer(self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (head, mut body) = request.into_parts();
        let at = self.inner.clock.now().wall;
        let fault = self.fault();
        if fault != Fault::None {
            self.inner.faulted.fetch_add(1, Ordering::Relaxed);
        }
        let mut sent = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            sent.extend_from_slice(frame.data_ref().map_or(&[][..], |d| d));
            match fault {
                Fault::Reset if sent.len() > 100_000 => return Err(broken()),
                Fault::Slow => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => {}
            }
        }
        if self.inner.denied.load(Ordering::Relaxed) {
            return Ok(said(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>"));
        }
        match fault {
            Fault::Broken => return Ok(said(StatusCode::INTERNAL_SERVER_ERROR, "")),
            Fault::Throttled => {
                let text = "<Error><Code>SlowDown</Code></Error>";
                return Ok(said(StatusCode::SERVICE_UNAVAILABLE, text));
            }
            Fault::Reset => return Err(broken()),
            _ => {}
        }
        let (path, query) =
            (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        let bytes = sent.len();
        let answer = self.forward(&head.method, &head.uri.to_string(), head.headers, sent).await?;
        let acknowledged = fault != Fault::Lost && answer.status().is_success();
        let asked = Asked { method: head.method, path, query, at, bytes, acknowledged };
        self.inner.asked.lock().expect("no panic").push(asked);
        if fault == Fault::Lost { Err(broken()) } else { Ok(answer) }
    }

    async fn forward(
        &self,
        method: &Method,
        uri: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> io::Result<Response<Full<Bytes>>> {
        let google = self.inner.google.load(Ordering::Relaxed);
        let headers = if google { to_amazon(headers) } else { headers };
        let uri = if google { plain(uri) } else { uri.to_owned() };
        let url = format!("http://{}{uri}", self.inner.to);
        let mut request = self.inner.client.request(method.clone(), url);
        for (name, value) in headers.iter().filter(|(n, _)| *n != "host" && *n != "content-length")
        {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.map_err(io::Error::other)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(io::Error::other)?;
        let mut out = Response::new(Full::new(body));
        *out.status_mut() = status;
        let headers = if google { to_google(headers) } else { headers };
        for (name, value) in headers.iter().filter(|(n, _)| !hop(n)) {
            // The length of an answer to HEAD is the object's.
            if *name != "content-length" || *method == Method::HEAD {
                out.headers_mut().append(name, value.clone());
            }
        }
        Ok(out)
    }
}

fn hop(name: &HeaderName) -> bool {
    ["transfer-encoding", "connection"].contains(&name.as_str())
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn said(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut out = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *out.status_mut() = status;
    out
}

/// A path in which Google's client has escaped all that is no letter.
fn plain(uri: &str) -> String {
    let escaped = [("%2F", "/"), ("%2D", "-"), ("%2E", "."), ("%5F", "_")];
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let path = escaped.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// Google's headers in Amazon's words, from a client that the server knows by its name.
fn to_amazon(headers: HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    let scope = "test/20260101/us-east-1/s3/aws4_request";
    let who = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    out.insert("authorization", who.parse().expect("a value"));
    for (name, value) in &headers {
        match name.as_str() {
            // It is an empty one, since nobody is asked for a token.
            "authorization" => {}
            "x-goog-if-generation-match" if value == "0" => {
                out.insert("if-none-match", "*".parse().expect("a value"));
            }
            name if name.starts_with("x-goog-meta-") => {
                let name = name.replace("x-goog-meta-", "x-amz-meta-");
                out.insert(name.parse::<HeaderName>().expect("a name"), value.clone());
            }
            name if name.starts_with("x-goog-") => {}
            _ => drop(out.append(name, value.clone())),
        }
    }
    out
}

/// Amazon's headers in Google's words.
fn to_google(headers: HeaderMap) -> HeaderMap {
    let mut out = headers.clone();
    for (name, value) in &headers {
        if let Some(rest) = name.as_str().strip_prefix("x-amz-meta-") {
            let name = format!("x-goog-meta-{rest}");
            out.insert(name.parse::<HeaderName>().expect("a name"), value.clone());
        }
    }
    if let Some(etag) = headers.get("etag").and_then(|e| e.to_str().ok()) {
        let generation = etag.trim_matches('"').parse().expect("a value");
        out.insert("x-goog-generation", generation);
    }
    out
}

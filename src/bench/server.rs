//! Servers under test: started as child processes from a generated configuration in a directory of
//! their own, ended with the value that holds them.

use crate::bench::cores::Pinned;
use crate::bench::error::BenchError;
use crate::bench::proc::{Usage, usage};
use crate::rt::clock::Clock;
use crate::rtmp::url::RtmpUrl;
use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};
use std::fmt::Write;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Debian's nginx.
const NGINX: &str = "/usr/sbin/nginx";

/// Its RTMP module, of the package libnginx-mod-rtmp.
const NGINX_RTMP: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);

/// How long a server may take to end when it is asked to: it seals a log for each stream.
const STOP: Duration = Duration::from_secs(30);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of a server's last words that are shown.
const LAST_WORDS: usize = 2 << 10;

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// castctl itself: LL-HLS and the log.
    Castctl,
    /// nginx with its RTMP module: HLS in MPEG-TS, recording in FLV.
    NginxRtmp,
    /// nginx that serves the files of its directory `www`, by sendfile.
    NginxFiles,
}

impl Which {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Which::Castctl => "castctl",
            Which::NginxRtmp => "nginx-rtmp",
            Which::NginxFiles => "nginx",
        }
    }
}

/// One stream of a server: where it is published and watched.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to publish.
    pub rtmp: RtmpUrl,
    /// The playlist to begin with.
    pub playlist: String,
}

/// How a server is to be set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The castctl program to measure.
    pub castctl: PathBuf,
    /// A directory of its own; made.
    pub dir: PathBuf,
    /// How many streams it will get.
    pub streams: usize,
    /// Length of a part; segments are 2 s.
    pub part: Duration,
    /// The only core that it may use; `None`: all.
    pub core: Option<usize>,
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    /// Which it is.
    pub which: Which,
    /// Where RTMP goes; of a server of files, where HTTP does.
    pub addr: SocketAddr,
    /// Its streams.
    pub targets: Vec<Target>,
    /// Where its metrics are, if it has any.
    pub metrics: Option<String>,
    child: Child,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has usually ended by now. If not, its children must not outlive it either.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, does not start, or does not listen in time.
    pub async fn start(which: Which, setup: &Setup, clock: &Clock) -> Result<Server, BenchError> {
        std::fs::create_dir_all(&setup.dir).map_err(BenchError::io("make", &setup.dir))?;
        match which {
            Which::Castctl => castctl(setup, clock).await,
            Which::NginxRtmp | Which::NginxFiles => nginx(which, setup, clock).await,
        }
    }

    /// What it and its children used so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn usage(&self) -> Result<Usage, BenchError> {
        usage(self.child.id()).map_err(|e| self.error(format!("cannot be looked at: {e}")))
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(mut self, clock: &Clock) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = clock.now().mono.plus(STOP);
        while let Ok(None) = self.child.try_wait()
            && clock.now().mono < deadline
        {
            clock.sleep_until(clock.now().mono.plus(LOOK)).await;
        }
    }

    /// An error of this server, with its last words.
    pub fn error(&self, why: String) -> BenchError {
        BenchError::Server { name: self.which.name().into(), why, said: last_words(&self.log) }
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let tail = &text[text.len().saturating_sub(LAST_WORDS)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}

fn spawn(
    which: Which,
    mut command: Command,
    setup: &Setup,
    stdout: Stdio,
) -> Result<(Child, PathBuf), BenchError> {
    let log = setup.dir.join("stderr");
    let file = File::create(&log).map_err(BenchError::io("make", &log))?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(file);
    // A group of its own: it ends when it is told to, not with the terminal's Ctrl-C.
    // What a pinned thread starts is pinned with all of its threads.
    let pinned = setup.core.map(Pinned::to).transpose()?;
    let child = command.process_group(0).spawn();
    drop(pinned);
    let child = child.map_err(|e| BenchError::Server {
        name: which.name().into(),
        why: format!("could not be started: {e}"),
        said: String::new(),
    })?;
    Ok((child, log))
}

fn rtmp_url(addr: SocketAddr, key: &str) -> RtmpUrl {
    let (host, port) = (addr.ip().to_string(), addr.port());
    RtmpUrl { host, port, app: "live".into(), key: key.into(), query: None }
}

async fn castctl(setup: &Setup, clock: &Clock) -> Result<Server, BenchError> {
    let (dir, which) = (&setup.dir, Which::Castctl);
    let file = dir.join("castctl.yaml");
    std::fs::write(&file, manifest(setup)).map_err(BenchError::io("write", &file))?;
    let out = dir.join("stdout");
    let stdout = File::create(&out).map_err(BenchError::io("make", &out))?;
    let mut command = Command::new(&setup.castctl);
    command.arg("up").arg("--manifest").arg(&file).arg("--data").arg(dir.join("data"));
    let (child, log) = spawn(which, command, setup, stdout.into())?;
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut server = Server { which, addr, targets: Vec::new(), metrics: None, child, log };
    let deadline = clock.now().mono.plus(START);
    loop {
        let said = std::fs::read_to_string(&out).unwrap_or_default();
        if said.lines().filter(|l| l.starts_with("playlist: ")).count() == setup.streams {
            announced(&mut server, &said);
            return Ok(server);
        }
        let ended = server.child.try_wait();
        if !matches!(ended, Ok(None)) || clock.now().mono > deadline {
            return Err(server.error("did not start".into()));
        }
        clock.sleep_until(clock.now().mono.plus(LOOK)).await;
    }
}

/// Takes what `castctl up` prints: its addresses, and each channel's key and playlist.
fn announced(server: &mut Server, said: &str) {
    let mut key = "";
    for (name, value) in said.lines().filter_map(|l| l.split_once(": ")) {
        match name {
            "rtmp" => {
                let host = value.trim_start_matches("rtmp://").split('/').next();
                server.addr = host.and_then(|h| h.parse().ok()).unwrap_or(server.addr);
            }
            "admin" => server.metrics = Some(format!("{value}/metrics")),
            "key" => key = value,
            "playlist" => {
                let (rtmp, playlist) = (rtmp_url(server.addr, key), value.to_owned());
                server.targets.push(Target { rtmp, playlist });
            }
            _ => {}
        }
    }
}

fn manifest(setup: &Setup) -> String {
    let mut text = format!(
        "server:\n  rtmp: {{ listen: 127.0.0.1:0, maxConnections: {} }}\n  \
         viewers: {{ listen: 127.0.0.1:0 }}\n  internal: {{ listen: 127.0.0.1:0 }}\n  \
         admin: {{ listen: 127.0.0.1:0 }}\nchannels:\n",
        setup.streams + 10
    );
    for n in 0..setup.streams {
        let part = setup.part.as_millis();
        let _ = writeln!(
            text,
            "  - {{ name: c{n:04}, keys: [bench-key-{n:04}], segment: 2s, part: {part}ms }}"
        );
    }
    text
}

async fn nginx(which: Which, setup: &Setup, clock: &Clock) -> Result<Server, BenchError> {
    let with_rtmp = which == Which::NginxRtmp;
    let needs = [
        (NGINX, "nginx", "apt-get install nginx-light"),
        (NGINX_RTMP, "nginx-rtmp", "apt-get install libnginx-mod-rtmp"),
    ];
    for (path, what, mend) in needs.into_iter().take(1 + usize::from(with_rtmp)) {
        if !Path::new(path).exists() {
            return Err(BenchError::Missing { what, path: path.into(), mend });
        }
    }
    let dir = &setup.dir;
    for sub in ["hls", "rec", "tmp", "www"] {
        let path = dir.join(sub);
        std::fs::create_dir_all(&path).map_err(BenchError::io("make", &path))?;
    }
    let (rtmp, http) = (free_port()?, free_port()?);
    let file = dir.join("nginx.conf");
    let conf = match with_rtmp {
        true => nginx_conf(
            dir,
            Some(rtmp),
            &format!("server {{ listen {http}; root {}; }}", dir.display()),
        ),
        false => nginx_conf(dir, None, &files_conf(dir, http)),
    };
    std::fs::write(&file, conf).map_err(BenchError::io("write", &file))?;
    let mut command = Command::new(NGINX);
    command.arg("-c").arg(&file).arg("-p").arg(dir).arg("-e").arg(dir.join("error.log"));
    let (child, log) = spawn(which, command, setup, Stdio::null())?;
    let target = |n: usize| {
        let key = format!("bench-key-{n:04}");
        Target { rtmp: rtmp_url(rtmp, &key), playlist: format!("http://{http}/hls/{key}.m3u8") }
    };
    let targets = (0..setup.streams).map(target).collect();
    let addr = if with_rtmp { rtmp } else { http };
    let mut server = Server { which, addr, targets, metrics: None, child, log };
    let deadline = clock.now().mono.plus(START);
    while tokio::net::TcpStream::connect(addr).await.is_err() {
        let ended = server.child.try_wait();
        if !matches!(ended, Ok(None)) || clock.now().mono > deadline {
            return Err(server.error("did not start".into()));
        }
        clock.sleep_until(clock.now().mono.plus(LOOK)).await;
    }
    Ok(server)
}

/// A port that was free a moment ago: nginx has no way to say which it got.
fn free_port() -> Result<SocketAddr, BenchError> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    TcpListener::bind(any)
        .and_then(|l| l.local_addr())
        .map_err(BenchError::io("listen on", any.to_string()))
}

/// One worker, as its RTMP module needs to find its streams; HLS and recording on.
fn nginx_conf(dir: &Path, rtmp: Option<SocketAddr>, server: &str) -> String {
    let dir = dir.display();
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let (load, rtmp) = match rtmp {
        Some(rtmp) => (
            format!("load_module {NGINX_RTMP};"),
            format!(
                "rtmp {{ access_log off; server {{ listen {rtmp}; application live {{ live on;\n\
                 hls on; hls_path {dir}/hls; hls_fragment 2s; hls_playlist_length 12s;\n\
                 record all; record_path {dir}/rec; }} }} }}"
            ),
        ),
        None => Default::default(),
    };
    format!(
        "{load}\n{user}\nworker_processes 1;\ndaemon off;\npid {dir}/pid;\n\
         error_log {dir}/error.log warn;\nworker_rlimit_nofile 20000;\n\
         events {{ worker_connections 8192; }}\n{rtmp}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
         client_body_temp_path {dir}/tmp/b; proxy_temp_path {dir}/tmp/p;\n\
         fastcgi_temp_path {dir}/tmp/f; uwsgi_temp_path {dir}/tmp/u; scgi_temp_path {dir}/tmp/s;\n\
         types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 m4s; }}\n\
         {server} }}\n"
    )
}

/// Files at their cheapest: descriptors stay open, so that a request costs its head and sendfile.
fn files_conf(dir: &Path, http: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "open_file_cache max=100; open_file_cache_valid 60s;\n\
         server {{ listen {http}; root {dir}/www; }}"
    )
}

/// A directory that goes with the value.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes a directory below `base`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(base: &Path) -> Result<TempDir, BenchError> {
        let path = base.join(format!("castctl-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(BenchError::io("make", &path))?;
        Ok(TempDir(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn sub(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

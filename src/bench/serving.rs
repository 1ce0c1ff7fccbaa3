//! One request, answered as fast as it is asked: a segment and a low-latency playlist, by castctl
//! and by nginx, which has the same bytes as files and sends them by sendfile. wrk asks over 32
//! connections.

use crate::bench::cores::Cores;
use crate::bench::error::BenchError;
use crate::bench::playlist::Playlist;
use crate::bench::proc::ended_cpu_ms;
use crate::bench::progress::Progress;
use crate::bench::server::{Server, Setup, TempDir, Which};
use crate::bench::stats::median;
use crate::bench::viewer;
use crate::bench::viewers::share;
use crate::rt::clock::Clock;
use bytes::Bytes;
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Connections that wrk keeps busy.
const CONNECTIONS: usize = 32;

/// The longest that one URL is asked for: castctl holds four target durations in memory, and what
/// is measured is a segment that is live.
const EACH_SECONDS: u64 = 5;

/// Between two looks at whether wrk has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What wrk does at its end: it prints what it counted, as JSON.
const SCRIPT: &str = r#"done = function(s, latency, requests)
  -- A slow answer, which wrk counts as a timeout, is an answer.
  local e = s.errors
  io.write(string.format('\n{"requests":%d,"bytes":%d,"micros":%d,"errors":%d}\n', s.requests,
    s.bytes, s.duration, e.connect + e.read + e.write + e.status))
end
"#;

/// A share of a core from which on it is what bounds the figure.
const FULL: f64 = 0.95;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds; castctl and nginx take turns in each.
    pub rounds: usize,
    /// Seconds of each measurement, if that is less than a segment stays in memory.
    pub seconds: u64,
    /// Who runs where.
    pub cores: Cores,
}

/// How long all rounds take, about, in seconds.
pub fn seconds(rounds: usize, seconds: u64) -> u64 {
    rounds as u64 * 4 * seconds.min(EACH_SECONDS)
}

/// The medians of one server's rounds with one kind of answer.
#[derive(Debug, Clone, Serialize)]
pub struct Answers {
    /// `segment` or `playlist`.
    pub of: &'static str,
    /// The server's name.
    pub server: &'static str,
    /// Rounds.
    pub rounds: usize,
    /// Bytes of one answer's body, in the last round.
    pub body_bytes: u64,
    /// Answers in a second.
    pub per_second: f64,
    /// Gigabits in a second, heads included.
    pub gbit_per_second: f64,
    /// The server's CPU seconds for a gigabit.
    pub cpu_seconds_per_gbit: f64,
    /// The server's CPU microseconds for one answer.
    pub cpu_us_per_answer: f64,
    /// The server's share of its core.
    pub server_core: f64,
    /// wrk's share of its own.
    pub load_core: f64,
    /// What the rate could not pass: one of the cores, or neither.
    pub bound_by: &'static str,
}

/// What wrk counted.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Counted {
    requests: u64,
    bytes: u64,
    micros: u64,
    errors: u64,
}

/// One server's answers to one URL for a while.
#[derive(Debug, Clone, Copy)]
struct Once {
    counted: Counted,
    cpu_ms: u64,
    server_core: f64,
    load_core: f64,
}

impl Plan {
    /// Is what is needed installed? Asked before anything is measured.
    ///
    /// # Errors
    /// wrk is not.
    pub fn check(&self) -> Result<(), BenchError> {
        if self.rounds == 0 {
            return Ok(());
        }
        let mut wrk = Command::new("wrk");
        match wrk.arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(BenchError::Missing {
                what: "wrk, which asks,",
                path: "wrk".into(),
                mend: "apt-get install wrk, or leave this out with --rounds 0",
            }),
            _ => Ok(()),
        }
    }

    /// Measures; `video` is the media playlist of a channel on air at `castctl`.
    ///
    /// # Errors
    /// A server fails, or answers with something other than what was asked for.
    pub async fn run(
        &self,
        castctl: &Server,
        video: &Url,
        dir: &TempDir,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<Vec<Answers>, BenchError> {
        let setup = Setup {
            castctl: PathBuf::new(),
            dir: dir.sub("nginx"),
            streams: 0,
            part: Duration::ZERO,
            core: Some(self.cores.server),
        };
        let nginx = Server::start(Which::NginxFiles, &setup, clock).await?;
        let script = dir.sub("wrk.lua");
        std::fs::write(&script, SCRIPT).map_err(BenchError::io("write", &script))?;
        let source = Source {
            http: viewer::client().map_err(|e| castctl.error(format!("no HTTP client: {e}")))?,
            video: video.clone(),
            clock: clock.clone(),
        };
        let mut out = Vec::new();
        for of in ["segment", "playlist"] {
            let (mut ours, mut theirs, mut bytes) = (Vec::new(), Vec::new(), 0);
            for _ in 0..self.rounds {
                let (url, body) = source.newest(of).await?;
                bytes = body.len() as u64;
                // A name of its own: nginx keeps files open.
                let name = url.path().replace('/', "-");
                let file = setup.dir.join("www").join(&name);
                std::fs::write(&file, &body).map_err(BenchError::io("write", &file))?;
                let at_nginx = format!("http://{}/{name}", nginx.addr);
                for (server, url, into) in
                    [(castctl, url.as_str(), &mut ours), (&nginx, &at_nginx, &mut theirs)]
                {
                    progress.say(format!("{}: {of}s", server.which.name()));
                    into.push(self.once(server, url, &script, clock).await?);
                    progress.seconds(self.seconds.min(EACH_SECONDS));
                }
            }
            for (server, all) in [(castctl, &ours), (&nginx, &theirs)] {
                out.push(answers(of, server.which.name(), bytes, all));
            }
        }
        nginx.stop(clock).await;
        Ok(out)
    }

    async fn once(
        &self,
        server: &Server,
        url: &str,
        script: &Path,
        clock: &Clock,
    ) -> Result<Once, BenchError> {
        let waited = || ended_cpu_ms().map_err(BenchError::io("read", "/proc/self/stat"));
        let (from, usage, load) = (clock.now().mono, server.usage()?, waited()?);
        let counted = wrk(self.seconds.min(EACH_SECONDS), url, script, clock).await?;
        let (to, after, load_after) = (clock.now().mono, server.usage()?, waited()?);
        if counted.errors > 0 || counted.requests == 0 {
            let why = format!("answered {url} {} times with an error", counted.errors);
            return Err(server.error(why));
        }
        let cpu_ms = after.cpu_ms().saturating_sub(usage.cpu_ms());
        let (server_core, load_core) =
            (share(cpu_ms, from, to), share(load_after - load, from, to));
        Ok(Once { counted, cpu_ms, server_core, load_core })
    }
}

/// Where the bytes come from.
struct Source {
    http: Client,
    video: Url,
    clock: Clock,
}

impl Source {
    /// The newest whole segment, or the playlist as the answer to a reload that it satisfies.
    async fn newest(&self, of: &str) -> Result<(Url, Bytes), BenchError> {
        let list = self.get(self.video.clone()).await?;
        let list = Playlist::parse(&String::from_utf8_lossy(&list));
        let whole = list.segments.iter().rev().find_map(|s| s.uri.as_ref().map(|u| (s.msn, u)));
        let no = || self.no("lists no segment".into());
        let (msn, uri) = whole.ok_or_else(no)?;
        let mut url = self.video.clone();
        match of {
            "segment" => url = self.video.join(uri).map_err(|e| self.no(e.to_string()))?,
            _ => url.set_query(Some(&format!("_HLS_msn={msn}&_HLS_part=0"))),
        }
        Ok((url.clone(), self.get(url).await?))
    }

    fn no(&self, why: String) -> BenchError {
        BenchError::Viewer { url: self.video.to_string(), why }
    }

    async fn get(&self, url: Url) -> Result<Bytes, BenchError> {
        let answer = viewer::get(&self.http, &self.clock, url).await;
        let answer = answer.map_err(|e| self.no(e.to_string()))?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            other => Err(self.no(format!("was answered {other}"))),
        }
    }
}

/// Runs wrk on this thread's core, without standing in the publisher's way.
async fn wrk(seconds: u64, url: &str, script: &Path, clock: &Clock) -> Result<Counted, BenchError> {
    let failed = |why: String, said: String| BenchError::Server { name: "wrk".into(), why, said };
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "-s"]);
    command.arg(script).arg(url).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(BenchError::io("run", "wrk"))?;
    while child.try_wait().map_err(BenchError::io("wait for", "wrk"))?.is_none() {
        clock.sleep_until(clock.now().mono.plus(LOOK)).await;
    }
    let done = child.wait_with_output().map_err(BenchError::io("read", "wrk"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    let counted = said.lines().rev().find(|l| l.starts_with('{'));
    counted.and_then(|l| serde_json::from_str(l).ok()).ok_or_else(|| {
        let stderr = String::from_utf8_lossy(&done.stderr);
        failed(format!("ended without a result: {}", done.status), format!("{said}{stderr}"))
    })
}

fn answers(of: &'static str, server: &'static str, body_bytes: u64, all: &[Once]) -> Answers {
    let middle = |f: &dyn Fn(&Once) -> f64| {
        median(&all.iter().map(f).collect::<Vec<f64>>()).unwrap_or_default()
    };
    let gbit = |o: &Once| o.counted.bytes as f64 * 8.0 / 1e9;
    let seconds = |o: &Once| o.counted.micros as f64 / 1e6;
    let cpu = |o: &Once| o.cpu_ms as f64 / 1000.0;
    let (server_core, load_core) = (middle(&|o| o.server_core), middle(&|o| o.load_core));
    Answers {
        of,
        server,
        rounds: all.len(),
        body_bytes,
        per_second: middle(&|o| o.counted.requests as f64 / seconds(o)),
        gbit_per_second: middle(&|o| gbit(o) / seconds(o)),
        cpu_seconds_per_gbit: middle(&|o| cpu(o) / gbit(o)),
        cpu_us_per_answer: middle(&|o| cpu(o) * 1e6 / o.counted.requests as f64),
        server_core,
        load_core,
        bound_by: match (server_core >= FULL, load_core >= FULL) {
            (true, _) => "the server's core",
            (false, true) => "wrk's core",
            (false, false) => "neither core",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_become_medians_and_say_what_bounds_them() {
        let once = |requests, cpu_ms, server_core, load_core| {
            let counted = Counted { requests, bytes: 125_000_000, micros: 2_000_000, errors: 0 };
            Once { counted, cpu_ms, server_core, load_core }
        };
        let all = [once(100, 50, 0.99, 0.6), once(200, 60, 0.97, 0.7), once(400, 90, 0.98, 0.5)];
        let a = answers("segment", "castctl", 7, &all);
        assert_eq!((a.rounds, a.body_bytes, a.bound_by), (3, 7, "the server's core"));
        assert!((a.per_second - 100.0).abs() < 1e-9 && (a.gbit_per_second - 0.5).abs() < 1e-9);
        assert!((a.cpu_seconds_per_gbit - 0.06).abs() < 1e-9);
        assert!((a.cpu_us_per_answer - 300.0).abs() < 1e-9);
        let wrk = answers("segment", "nginx", 7, &[once(1, 1, 0.5, 0.99)]);
        assert_eq!(wrk.bound_by, "wrk's core");
        assert_eq!(answers("x", "y", 0, &[]).bound_by, "neither core");
    }
}

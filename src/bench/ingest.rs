//! What ingest costs a server: CPU and memory for streams that are published, recorded and cut into
//! HLS, with or without a viewer each.

use crate::base::time::Mono;
use crate::bench::clip::Clip;
use crate::bench::error::BenchError;
use crate::bench::proc::Usage;
use crate::bench::progress::Progress;
use crate::bench::publishers::Pool;
use crate::bench::server::{Server, Setup, TempDir, Which};
use crate::bench::stats::{Summary, summary};
use crate::bench::viewer::{self, Seen, Viewer};
use crate::rt::clock::Clock;
use reqwest::{Client, Url};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// After the ramp, before the first mark: servers have cut their first segments by then and the
/// viewers are at the live edge.
const SETTLE: Duration = Duration::from_secs(4);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of publishers, one measurement each.
    pub publishers: Vec<usize>,
    /// Viewers of each stream, one measurement each: 0 or 1.
    pub viewers: Vec<usize>,
    /// Length of a measurement, between its two marks.
    pub seconds: u64,
    /// Length of a part.
    pub part: Duration,
    /// How often everything is measured.
    pub repeat: usize,
    /// The servers, in the order in which they take turns.
    pub servers: Vec<Which>,
    /// The castctl program to measure.
    pub castctl: PathBuf,
    /// Where the servers keep their data meanwhile.
    pub dir: PathBuf,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The server's name.
    pub server: &'static str,
    /// Streams published to it.
    pub publishers: usize,
    /// Viewers of each.
    pub viewers_per_stream: usize,
    /// Seconds between the marks.
    pub seconds: f64,
    /// CPU milliseconds for a second of one stream.
    pub cpu_ms_per_stream_second: f64,
    /// The kernel's part of it.
    pub system_ms_per_stream_second: f64,
    /// Resident bytes per stream, with the server's own.
    pub rss_per_stream: u64,
    /// What a stream added to the proportional set size.
    pub pss_per_stream: u64,
    /// What of that are records held for readers; `None` where the server does not say.
    pub window_per_stream: Option<u64>,
    /// Bits per second that each publisher sent.
    pub bits_per_second: u64,
    /// How late pictures were handed to the socket: above a frame, the machine had no room for the
    /// load itself.
    pub late_ms: Option<Summary>,
    /// What the viewers got.
    pub viewers: Seen,
}

impl Plan {
    /// How long all measurements take, about, in seconds.
    pub fn seconds(&self) -> u64 {
        let each = self.seconds + (Pool::ramp() + SETTLE).as_secs();
        let runs = self.publishers.len() * self.viewers.len() * self.repeat * self.servers.len();
        each * runs as u64
    }

    /// Measures everything; the servers take turns, so that they meet the same machine.
    ///
    /// # Errors
    /// A server does not start or ends, or a publisher is lost.
    pub async fn run(
        &self,
        clip: &Arc<Clip>,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<Vec<Run>, BenchError> {
        let mut runs = Vec::new();
        for &publishers in &self.publishers {
            for &viewers in &self.viewers {
                for _ in 0..self.repeat {
                    for &which in &self.servers {
                        progress.say(format!("{}, {publishers} publishers", which.name()));
                        let case = Case { which, publishers, viewers };
                        runs.push(self.one(case, clip, clock, progress).await?);
                    }
                }
            }
        }
        Ok(runs)
    }

    async fn one(
        &self,
        case: Case,
        clip: &Arc<Clip>,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<Run, BenchError> {
        let dir = TempDir::new(&self.dir)?;
        let setup = Setup {
            castctl: self.castctl.clone(),
            dir: dir.sub(case.which.name()),
            streams: case.publishers,
            part: self.part,
            core: None,
        };
        let server = Server::start(case.which, &setup, clock).await?;
        let base = server.usage()?;
        let http = viewer::client().map_err(|e| server.error(format!("no HTTP client: {e}")))?;
        let tally = Arc::new(viewer::Tally::default());
        let mut viewers = Vec::new();
        for target in server.targets.iter().filter(|_| case.viewers > 0) {
            let url = Url::parse(&target.playlist);
            let url = url.map_err(|e| server.error(format!("{}: {e}", target.playlist)))?;
            viewers.push(Viewer::start(http.clone(), url, clock.clone(), tally.clone()));
        }
        let pool = Pool::start(&server.targets, server.addr, clip, clock);
        seconds((Pool::ramp() + SETTLE).as_secs(), clock, progress).await;
        let _ = pool.tally.take_late();
        let begin = Mark::take(&server, &pool, &tally, clock)?;
        seconds(self.seconds, clock, progress).await;
        let end = Mark::take(&server, &pool, &tally, clock)?;
        let late = pool.tally.take_late();
        let window = match &server.metrics {
            Some(url) => window(&http, clock, url).await,
            None => None,
        };
        if let Some(why) = pool.tally.lost().into_iter().next() {
            return Err(server.error(format!("lost a publisher: {why}")));
        }
        if pool.tally.connected() < case.publishers {
            return Err(server.error("did not take every publisher in time".into()));
        }
        drop((viewers, pool));
        server.stop(clock).await;
        Ok(case.figures(base, begin, end, window, summary(&late)))
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    which: Which,
    publishers: usize,
    viewers: usize,
}

/// One moment of a measurement.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Mono,
    usage: Usage,
    sent: u64,
    seen: Seen,
}

impl Mark {
    fn take(
        server: &Server,
        pool: &Pool,
        tally: &viewer::Tally,
        clock: &Clock,
    ) -> Result<Mark, BenchError> {
        let (usage, sent, seen) = (server.usage()?, pool.tally.sent_bytes(), tally.seen());
        Ok(Mark { at: clock.now().mono, usage, sent, seen })
    }
}

impl Case {
    fn figures(
        self,
        base: Usage,
        begin: Mark,
        end: Mark,
        window: Option<u64>,
        late_ms: Option<Summary>,
    ) -> Run {
        let seconds = end.at.since(begin.at).as_secs_f64();
        let streams = self.publishers.max(1) as u64;
        let per = |ms: u64| ms as f64 / seconds / streams as f64;
        let cpu = end.usage.cpu_ms().saturating_sub(begin.usage.cpu_ms());
        let system = end.usage.system_ms.saturating_sub(begin.usage.system_ms);
        Run {
            server: self.which.name(),
            publishers: self.publishers,
            viewers_per_stream: self.viewers,
            seconds,
            cpu_ms_per_stream_second: per(cpu),
            system_ms_per_stream_second: per(system),
            rss_per_stream: end.usage.rss / streams,
            pss_per_stream: end.usage.pss.saturating_sub(base.pss) / streams,
            window_per_stream: window.map(|w| w / streams),
            bits_per_second: ((end.sent - begin.sent) as f64 * 8.0 / seconds) as u64 / streams,
            late_ms,
            viewers: end.seen.since(begin.seen),
        }
    }
}

/// Waits, and moves the progress on.
async fn seconds(count: u64, clock: &Clock, progress: &Progress) {
    let begin = clock.now().mono;
    for n in 1..=count {
        clock.sleep_until(begin.plus(Duration::from_secs(n))).await;
        progress.second();
    }
}

/// Bytes that castctl says it holds for readers.
async fn window(http: &Client, clock: &Clock, url: &str) -> Option<u64> {
    let answer = viewer::get(http, clock, Url::parse(url).ok()?).await.ok()?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    gauge(&text, "castctl_log_tail_bytes")
}

/// A gauge's value in the text of a metrics page; the sum over its labels.
fn gauge(text: &str, name: &str) -> Option<u64> {
    let values = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| {
        let (series, value) = l.rsplit_once(' ')?;
        let matches = series.split('{').next() == Some(name);
        value.parse::<f64>().ok().filter(|_| matches)
    });
    values.reduce(|a, b| a + b).map(|v| v as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(seconds: u64, user_ms: u64, system_ms: u64, pss: u64, sent: u64) -> Mark {
        let usage = Usage { user_ms, system_ms, rss: pss + 1000, pss };
        let at = Mono(seconds * 1_000_000);
        Mark { at, usage, sent, seen: Seen::default() }
    }

    #[test]
    fn figures_are_for_one_stream_and_one_second() {
        let case = Case { which: Which::Castctl, publishers: 10, viewers: 0 };
        let base = mark(0, 50, 50, 2_000, 0).usage;
        let (begin, end) = (mark(5, 1000, 500, 8_000, 1_000), mark(15, 1600, 700, 12_000, 126_000));
        let run = case.figures(base, begin, end, Some(5_000), None);
        assert!((run.cpu_ms_per_stream_second - 8.0).abs() < 1e-9);
        assert!((run.system_ms_per_stream_second - 2.0).abs() < 1e-9);
        assert_eq!((run.rss_per_stream, run.pss_per_stream), (1300, 1000));
        assert_eq!((run.window_per_stream, run.bits_per_second), (Some(500), 10_000));
    }

    #[test]
    fn a_gauge_is_found_in_a_metrics_page() {
        let text = "# HELP a_b x\n# TYPE a_b gauge\na_b{c=\"1\"} 40\na_b{c=\"2\"} 2\na_b_c 7\n";
        assert_eq!(gauge(text, "a_b"), Some(42));
        assert_eq!(gauge(text, "a_b_c"), Some(7));
        assert_eq!(gauge(text, "a"), None);
    }
}

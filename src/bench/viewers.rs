//! What viewers at the live edge cost a server and how late the last of them gets a part; then how
//! cheaply the server answers one and the same request, beside nginx.
//!
//! The server has one core and the load another. A load that needs most of its own core measures
//! itself: at [`LOAD_MOST`] of it the measurement stops and says so.

use crate::base::time::Mono;
use crate::bench::clip::Clip;
use crate::bench::cores::{Cores, Pinned};
use crate::bench::crowd::{Crowd, Shared};
use crate::bench::error::BenchError;
use crate::bench::proc::{Usage, own_cpu_ms};
use crate::bench::progress::Progress;
use crate::bench::publishers::{Publisher, numbered};
use crate::bench::server::{Server, Setup, TempDir, Which};
use crate::bench::serving::{self, Answers};
use crate::bench::stats::{Summary, summary};
use crate::bench::viewer::{self, Seen, entry};
use crate::rt::clock::Clock;
use crate::rt::task;
use reqwest::Url;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Share of its core that the load may use: beyond it viewers wait for each other and no longer for
/// the server.
pub const LOAD_MOST: f64 = 0.8;

/// The viewers come one by one within this time: two segments, so that no moment has them all.
const RAMP: Duration = Duration::from_secs(4);

/// After the last has come: everybody has left the start behind.
const SETTLE: Duration = Duration::from_secs(2);

/// Between two looks for the first playlist.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// How long the first segment may take.
const FIRST_SEGMENT: Duration = Duration::from_secs(30);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of viewers, one measurement each, each with a server of its own.
    pub viewers: Vec<usize>,
    /// Length of a measurement in seconds.
    pub seconds: u64,
    /// Length of a part.
    pub part: Duration,
    /// Rounds of answers, castctl and nginx in turn; 0 leaves them out.
    pub rounds: usize,
    /// The castctl program to measure.
    pub castctl: PathBuf,
    /// Where the servers keep their data meanwhile.
    pub dir: PathBuf,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// One measurement for each number of viewers.
    pub viewers: Vec<Run>,
    /// The number at which the load met its limit, if it did: there are no figures for it.
    pub stopped: Option<Stopped>,
    /// Answers to one request, as fast as they come.
    pub answers: Vec<Answers>,
}

/// The load had too little room.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Stopped {
    /// Viewers.
    pub viewers: usize,
    /// The load's share of its core.
    pub load_core: f64,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Viewers, each of every rendition.
    pub viewers: usize,
    /// Renditions that each of them watched.
    pub renditions: usize,
    /// Seconds between the marks.
    pub seconds: f64,
    /// The server's CPU milliseconds for a second of one viewer, with its share of the ingest.
    pub cpu_ms_per_viewer_second: f64,
    /// The same for each rendition delivered.
    pub cpu_ms_per_rendition_second: f64,
    /// The kernel's part of the viewer's.
    pub system_ms_per_viewer_second: f64,
    /// Resident bytes that a viewer added.
    pub rss_per_viewer: u64,
    /// From the sending of the picture that completes a part until the first byte of the playlist
    /// that lists it was at the last viewer.
    pub listed_ms: Option<Summary>,
    /// The same until the first byte of the part was.
    pub arrived_ms: Option<Summary>,
    /// Bits per second of media that each viewer got.
    pub bits_per_second: u64,
    /// The server's share of its core.
    pub server_core: f64,
    /// The load's share of its own.
    pub load_core: f64,
    /// What the viewers got.
    pub seen: Seen,
}

impl Plan {
    /// How long all measurements take, about, in seconds.
    pub fn seconds(&self) -> u64 {
        let each = self.seconds + (RAMP + SETTLE).as_secs() + 3;
        each * self.viewers.len() as u64 + serving::seconds(self.rounds, self.seconds)
    }

    /// Measures.
    ///
    /// # Errors
    /// There is one core only, a program is missing, or a server or the publisher fails.
    pub async fn run(
        &self,
        clip: &Arc<Clip>,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<Figures, BenchError> {
        let cores = Cores::two()?;
        let _load = Pinned::to(cores.load)?;
        let serving = serving::Plan { rounds: self.rounds, seconds: self.seconds, cores };
        serving.check()?;
        let mut figures = Figures { viewers: Vec::new(), stopped: None, answers: Vec::new() };
        for (n, &viewers) in self.viewers.iter().enumerate() {
            progress.say(format!("{viewers} viewers"));
            let dir = TempDir::new(&self.dir)?;
            let stage = Stage::set(self, &dir, cores, clip, clock).await?;
            match stage.watched(viewers, self.seconds, progress).await? {
                Ok(run) => figures.viewers.push(run),
                Err(stopped) => figures.stopped = Some(stopped),
            }
            let last = n + 1 == self.viewers.len() || figures.stopped.is_some();
            if last && self.rounds > 0 {
                let video = &stage.playlists[0];
                figures.answers = serving.run(&stage.server, video, &dir, clock, progress).await?;
            }
            stage.clear().await?;
            if last {
                break;
            }
        }
        Ok(figures)
    }
}

/// A server with a channel on air.
struct Stage {
    server: Server,
    /// Video first.
    playlists: Vec<Url>,
    shared: Shared,
    publisher: Publishing,
}

/// The publisher's task and what ended it.
struct Publishing {
    task: JoinHandle<Option<()>>,
    lost: Arc<Mutex<Option<BenchError>>>,
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Publishing {
    async fn start(
        server: &Server,
        clip: &Arc<Clip>,
        shared: &Shared,
    ) -> Result<Publishing, BenchError> {
        let (url, clock) = (&server.targets[0].rtmp, shared.clock.clone());
        let mut publisher = Publisher::connect(0, server.addr, url, clock.clone()).await?;
        let lost = Arc::new(Mutex::new(None));
        let (clip, shared, note) = (clip.clone(), shared.clone(), lost.clone());
        let task = task::spawn("publisher", async move {
            let sent = |at| shared.fan(|f| f.sent(at));
            let Err(e) = numbered(&mut publisher, &clip, &clock, sent).await;
            *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        });
        Ok(Publishing { task, lost })
    }

    fn check(&self) -> Result<(), BenchError> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// One moment of a measurement.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Mono,
    usage: Usage,
    load_ms: u64,
    seen: Seen,
}

impl Stage {
    /// Starts server and publisher, and waits until every rendition has a segment.
    async fn set(
        plan: &Plan,
        dir: &TempDir,
        cores: Cores,
        clip: &Arc<Clip>,
        clock: &Clock,
    ) -> Result<Stage, BenchError> {
        let setup = Setup {
            castctl: plan.castctl.clone(),
            dir: dir.sub("castctl"),
            streams: 1,
            part: plan.part,
            core: Some(cores.server),
        };
        let server = Server::start(Which::Castctl, &setup, clock).await?;
        let shared = Shared::new(clock.clone());
        let publisher = Publishing::start(&server, clip, &shared).await?;
        let http = viewer::client().map_err(|e| server.error(format!("no HTTP client: {e}")))?;
        let url = server.targets[0].playlist.clone();
        let no = |why: String| BenchError::Viewer { url: url.clone(), why };
        let first = Url::parse(&url).map_err(|e| no(e.to_string()))?;
        let begun = entry(&http, clock, &first, FIRST_LOOK);
        let mut playlists = tokio::time::timeout(FIRST_SEGMENT, begun).await.unwrap_or_default();
        publisher.check()?;
        if playlists.is_empty() {
            return Err(no(format!("saw no media in {} s", FIRST_SEGMENT.as_secs())));
        }
        // Video first: it has the numbered pictures, and the larger segments.
        playlists.sort_by_key(|u| !u.path().contains("/video/"));
        Ok(Stage { server, playlists, shared, publisher })
    }

    fn mark(&self) -> Result<Mark, BenchError> {
        let load_ms = own_cpu_ms().map_err(BenchError::io("read", "/proc/self/stat"))?;
        let (usage, seen) = (self.server.usage()?, self.shared.tally.seen());
        Ok(Mark { at: self.shared.clock.now().mono, usage, load_ms, seen })
    }

    /// Lets viewers watch; the inner error when the load met its limit.
    async fn watched(
        &self,
        viewers: usize,
        seconds: u64,
        progress: &Progress,
    ) -> Result<Result<Run, Stopped>, BenchError> {
        let clock = &self.shared.clock;
        let base = self.mark()?;
        let addr = self.playlists[0].socket_addrs(|| None).ok().and_then(|a| a.first().copied());
        let addr = addr.ok_or_else(|| self.server.error("has no address for viewers".into()))?;
        let crowd = Crowd::start(addr, &self.playlists, viewers, RAMP, &self.shared);
        let (mut begin, mut before) = (base, base);
        let start = (RAMP + SETTLE).as_secs();
        for second in 1..=start + seconds {
            clock.sleep_until(base.at.plus(Duration::from_secs(second))).await;
            progress.second();
            self.publisher.check()?;
            let now = self.mark()?;
            let load_core = share(now.load_ms - before.load_ms, before.at, now.at);
            if load_core > LOAD_MOST {
                return Ok(Err(Stopped { viewers, load_core }));
            }
            before = now;
            if second == start {
                self.shared.fan(|f| f.begin(viewers));
                begin = now;
            }
        }
        drop(crowd);
        let (listed, arrived) = self.shared.fan(|f| f.take());
        let run = Run {
            listed_ms: summary(&listed),
            arrived_ms: summary(&arrived),
            ..figures(viewers, self.playlists.len(), base, begin, before)
        };
        Ok(Ok(run))
    }

    async fn clear(self) -> Result<(), BenchError> {
        self.publisher.check()?;
        drop(self.publisher);
        self.server.stop(&self.shared.clock).await;
        Ok(())
    }
}

/// Milliseconds of a core as a share of the time between two moments.
pub fn share(ms: u64, from: Mono, to: Mono) -> f64 {
    ms as f64 / 1000.0 / to.since(from).as_secs_f64().max(f64::EPSILON)
}

fn figures(viewers: usize, renditions: usize, base: Mark, begin: Mark, end: Mark) -> Run {
    let seconds = end.at.since(begin.at).as_secs_f64();
    let cpu = end.usage.cpu_ms().saturating_sub(begin.usage.cpu_ms());
    let system = end.usage.system_ms.saturating_sub(begin.usage.system_ms);
    let per = |ms: u64, of: usize| ms as f64 / seconds / of.max(1) as f64;
    let seen = end.seen.since(begin.seen);
    let each = viewers.max(1) as u64;
    Run {
        viewers,
        renditions,
        seconds,
        cpu_ms_per_viewer_second: per(cpu, viewers),
        cpu_ms_per_rendition_second: per(cpu, viewers * renditions),
        system_ms_per_viewer_second: per(system, viewers),
        rss_per_viewer: end.usage.rss.saturating_sub(base.usage.rss) / each,
        listed_ms: None,
        arrived_ms: None,
        bits_per_second: (seen.bytes as f64 * 8.0 / seconds) as u64 / each,
        server_core: share(cpu, begin.at, end.at),
        load_core: share(end.load_ms - begin.load_ms, begin.at, end.at),
        seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(
        seconds: u64,
        user_ms: u64,
        system_ms: u64,
        rss: u64,
        load_ms: u64,
        bytes: u64,
    ) -> Mark {
        let usage = Usage { user_ms, system_ms, rss, pss: rss };
        let seen = Seen { bytes, ..Seen::default() };
        Mark { at: Mono(seconds * 1_000_000), usage, load_ms, seen }
    }

    #[test]
    fn figures_are_for_one_viewer_and_one_second() {
        let base = mark(0, 0, 0, 1_000, 0, 0);
        let (begin, end) =
            (mark(5, 100, 100, 9_000, 50, 10), mark(15, 400, 800, 11_000, 8_050, 1_010));
        let run = figures(10, 2, base, begin, end);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(run.cpu_ms_per_viewer_second, 10.0);
        close(run.cpu_ms_per_rendition_second, 5.0);
        close(run.system_ms_per_viewer_second, 7.0);
        close(run.server_core, 0.1);
        assert_eq!((run.rss_per_viewer, run.bits_per_second), (1_000, 80));
        // A load like this is over its limit: whoever sees it stops.
        close(run.load_core, 0.8);
        assert!(share(8_001, begin.at, end.at) > LOAD_MOST);
        assert!(run.load_core <= LOAD_MOST + 1e-9);
    }
}

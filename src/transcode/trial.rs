//! A job that is run to be measured: a worker is given a clip and watched.

use crate::base::ids::TrackId;
use crate::base::time::Mono;
use crate::log::format::record::Record;
use crate::media::packet::Packet;
use crate::media::track::{Kind, Track};
use crate::rt::clock::Clock;
use crate::rt::task;
use crate::transcode::clip::Clip;
use crate::transcode::settings::Settings;
use crate::transcode::wire::Output;
use crate::transcode::worker::{End, Source, Worker, WorkerError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Packets between two looks at the worker's memory.
const LOOK: usize = 16;

/// How fast the clip is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the worker takes it.
    Fast,
    /// As it was filmed.
    RealTime,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// It can't be waited for.
    #[error("the worker: {0}")]
    Wait(#[from] std::io::Error),
    /// It did not do the job.
    #[error("the worker ended with {0:?}: {1}")]
    Ended(End, String),
    /// `/proc` does not tell.
    #[error("what the worker used is not known: /proc is not there")]
    Usage,
}

/// What a job took and made.
#[derive(Debug, Default)]
pub struct Ran {
    /// CPU time of user and system, of the whole process.
    pub cpu: Duration,
    /// Resident bytes, the most that were seen.
    pub resident: u64,
    /// How long it ran.
    pub took: Duration,
    /// From the sending of a source's picture to the arrival of a rung's of the same time, sorted.
    pub delays: Vec<Duration>,
    /// What each track became.
    pub made: BTreeMap<TrackId, (Track, Vec<Packet>)>,
    /// Pictures that rungs left out because they were late.
    pub late: u64,
}

/// When each picture was sent, by its PTS in microseconds.
type Sent = Arc<Mutex<BTreeMap<i64, Mono>>>;

/// Gives the worker of `program`, a castctl, this clip and measures it. Must be called inside a
/// runtime.
///
/// # Errors
/// There is no worker, or it failed.
pub async fn run(
    program: &Path,
    settings: &Settings,
    clip: &Clip,
    pace: Pace,
    clock: &Clock,
) -> Result<Ran, TrialError> {
    let begun = clock.now().mono;
    let (mut worker, source, mut outputs) = Worker::start(program, settings)?;
    let sent = Sent::default();
    let feed = Feed { source, sent: Arc::clone(&sent), pace, clock: clock.clone() };
    let video = clip.video().0.clone();
    let feed = task::spawn("trial's source", feed.run(clip.records(), video));
    let mut ran = Ran::default();
    let mut count = 0;
    // What comes is whole, or the worker's end says why it is not.
    while let Ok(Some(output)) = outputs.next().await {
        match output {
            Output::Track(track) => {
                ran.made.entry(track.id).or_insert((track, Vec::new()));
            }
            Output::Packet(packet) => {
                if count % LOOK == 0 {
                    ran.resident = ran.resident.max(worker.usage().map_or(0, |u| u.resident));
                }
                count += 1;
                ran.packet(packet, clock.now().mono, &sent);
            }
            Output::Report(report) => ran.late = report.rungs.iter().map(|r| r.late).sum(),
        }
    }
    // It has ended, and is not waited for yet: what it used is all there.
    let used = worker.usage();
    ran.took = clock.now().mono.since(begun);
    let ended = worker.ended().await?;
    // A panic was told by the task.
    let _ = feed.await;
    if ended.end != End::Exit(0) {
        return Err(TrialError::Ended(ended.end, ended.said));
    }
    ran.cpu = used.ok_or(TrialError::Usage)?.cpu;
    ran.delays.sort_unstable();
    Ok(ran)
}

impl Ran {
    fn packet(&mut self, packet: Packet, now: Mono, sent: &Sent) {
        let Some((track, packets)) = self.made.get_mut(&packet.track) else { return };
        if track.codec.kind() == Kind::Video {
            let pts = track.timescale.to_micros(packet.pts());
            let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            self.delays.extend(sent.get(&pts).map(|sent| now.since(*sent)));
        }
        packets.push(packet);
    }
}

/// Sends a clip's records.
struct Feed {
    source: Source,
    sent: Sent,
    pace: Pace,
    clock: Clock,
}

impl Feed {
    async fn run(mut self, records: Vec<(i64, Record)>, video: Track) {
        let begun = self.clock.now().mono;
        let first = records.iter().map(|(at, _)| *at).find(|at| *at > i64::MIN).unwrap_or(0);
        for (at, record) in &records {
            if self.pace == Pace::RealTime && *at > i64::MIN {
                let since = Duration::from_micros((at - first).unsigned_abs());
                self.clock.sleep_until(begun.plus(since)).await;
            }
            if let Record::Packet { packet, .. } = record
                && packet.track == video.id
            {
                let (pts, now) = (video.timescale.to_micros(packet.pts()), self.clock.now().mono);
                self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(pts, now);
            }
            if self.source.send(record).await.is_err() {
                // How the worker ended says why.
                return;
            }
        }
    }
}

/// Thousandths of a core that a job takes all the time, without what its start takes: a run of
/// the whole clip, less one of its first pictures.
///
/// # Errors
/// As [`run`].
pub async fn millicores(
    program: &Path,
    settings: &Settings,
    clip: &Clip,
    clock: &Clock,
) -> Result<f64, TrialError> {
    let head = clip.head(clip.pictures() / 4);
    let short = run(program, settings, &head, Pace::Fast, clock).await?.cpu;
    let whole = run(program, settings, clip, Pace::Fast, clock).await?.cpu;
    let seconds = clip.seconds() - head.seconds();
    Ok(whole.saturating_sub(short).as_secs_f64() * 1e3 / seconds.max(1e-3))
}

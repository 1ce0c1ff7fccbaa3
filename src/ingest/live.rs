//! One generation being written: the cut and the log behind it, and the registry's leash on its
//! numbers.

use crate::api::convert;
use crate::api::types::{ChannelSettings, Durability, Grant, Pace};
use crate::base::ids::{Msn, TrackId};
use crate::base::time::{Mono, Now, Wall};
use crate::ingest::constants::{check, default_rate, known_plan, plan, warn_unseen};
use crate::ingest::context::{Context, PublishError};
use crate::ingest::cues::{Ask, CueRefused, Cues};
use crate::ingest::probe::Known;
use crate::ingest::reports::{Reports, Started};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::Sync;
use crate::log::sealed::Sealed;
use crate::log::writer::Writer;
use crate::media::packet::Packet;
use crate::media::timeline::cue::Cue;
use crate::media::timeline::cut::{self, Base, Cutter, Output};
use crate::media::timeline::lane::Plan;
use crate::media::timeline::mark::{End, GenerationStart, Mark, Rendition, SessionRecord};
use crate::media::track::{Codec, FrameRate};
use std::sync::Arc;
use std::time::Duration;

/// How long records may wait for company before they are written. The end of a part is written at
/// once, and viewers see nothing before it; this bounds what a crash of the process can lose where
/// parts are long. Each write costs a hop to the io thread and back to the readers: at 20 ms that
/// was half of what a stream cost.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// Media that comes after a silence this long may be late: the process stood still, or the network
/// did, and somebody else goes on with the session by now. Encoders send several packets a second.
const SILENCE: Duration = Duration::from_secs(2);

/// Pause before it is looked again whether a gap may be written: a share of a part.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One generation being written.
#[derive(Debug)]
pub struct Live {
    id: LogId,
    min_segment: Duration,
    pace: Pace,
    cutter: Cutter,
    writer: Writer,
    reports: Reports,
    known: Vec<Known>,
    /// What the session's viewers were told that a track is.
    told: Vec<(TrackId, Codec)>,
    default_rate: FrameRate,
    reported: Msn,
    /// Newest MSN among records not handed to the disk yet.
    newest: Msn,
    /// A DISCONTINUITY that must be acknowledged before it is visible.
    held: Option<Msn>,
    waiting_since: Option<Mono>,
    /// When the encoder was last heard.
    heard: Mono,
    /// It is back after a silence: what it sends is not shown before the registry was asked.
    doubt: bool,
    /// No gap before this moment: the registry has not said yet whose the session is.
    hold: Option<Mono>,
    urgent: bool,
    warned_gop: bool,
    /// The session's cues, once one was asked for.
    cues: Option<Cues>,
}

/// Where the time line goes on. After an end that its writer told, there. Numbers that were passed
/// over, because the writer could not be asked, are gaps up to now: it may have listed media up to
/// its own now (TIMELINE section 3: the anchor).
pub(super) fn anchor(grant: &Grant, now: Now) -> Option<Wall> {
    let (_, end) = grant.previous.as_ref()?;
    let passed = grant.base.0.saturating_sub(end.msn + 1);
    let wall = Wall(end.wall);
    let least = wall.plus(i64::try_from(passed).unwrap_or(i64::MAX).saturating_mul(1_000));
    Some(if passed == 0 { wall } else { now.wall.max(least) })
}

fn sync(durability: Durability) -> Sync {
    match durability {
        Durability::Interval(every) => Sync::Interval(every),
        Durability::EachSegment => Sync::EachSegment,
        Durability::Never => Sync::Never,
    }
}

impl Live {
    /// Makes the generation's log and writes what it begins with. Nothing is visible before the
    /// first [`Live::settle`].
    pub async fn open(
        ctx: &Context,
        settings: &Arc<ChannelSettings>,
        grant: &Grant,
        record: SessionRecord,
        known: Vec<Known>,
    ) -> Result<Live, PublishError> {
        let told = |r: &Rendition| Some((r.track, Codec::from_codecs(&r.codecs)?));
        let told: Vec<_> = record.renditions.iter().filter_map(told).collect();
        for k in &known {
            check(&told, k)?;
            warn_unseen(&settings.name, &told, k);
        }
        let channel = settings.name.clone();
        let (session, generation) = (grant.session, grant.generation);
        let id = LogId { channel: channel.clone(), session, generation, rung: None };
        let previous =
            grant.previous.as_ref().map(|(g, e)| ((*g).into(), convert::end_from_api(e)));
        let clock = ctx.clock.clone();
        let now = clock.now();
        let (ended, goes_on) = (previous.as_ref().map(|p| p.1.wall), anchor(grant, now));
        let (base, dseq) = (grant.base, grant.dseq);
        let start = GenerationStart { session, generation, job: None, base, dseq, previous };
        let mut writer = ctx.logs.create_synced(&id, start, sync(settings.durability)).await?;
        writer.append_mark(&Mark::Session(record.clone()))?;
        for k in &known {
            writer.append_mark(&Mark::Track(k.track.clone()))?;
        }
        let rate = default_rate(settings);
        let plans: Vec<Plan> = record.renditions.iter().map(|r| plan(r, &known, rate)).collect();
        let config = cut::Config {
            segment: record.segment,
            target_duration: i64::from(record.target_duration) * 1_000_000,
            part_target: record.part_target,
            pace: match settings.pace {
                Pace::Wall => cut::Pace::Wall,
                Pace::Media => cut::Pace::Media,
            },
        };
        let base = Base { msn: grant.base, dseq: grant.dseq, previous: goes_on };
        let mut cutter = Cutter::new(config, &plans, base, now);
        if let Some(ended) = ended {
            cutter.silent_since(ended, now);
        }
        let reports = Reports::start(ctx.client.clone(), channel, generation, grant.base, clock);
        let before = Msn(grant.base.0.saturating_sub(1));
        Ok(Live {
            id,
            min_segment: settings.segment / 2,
            pace: settings.pace,
            cutter,
            writer,
            reports,
            known,
            told,
            default_rate: rate,
            reported: before,
            newest: before,
            held: None,
            waiting_since: None,
            heard: now.mono,
            doubt: false,
            hold: None,
            urgent: true,
            warned_gop: false,
            cues: None,
        })
    }

    /// Was the publisher's key revoked?
    pub fn is_revoked(&self) -> bool {
        self.reports.revoked()
    }

    /// The log being written.
    pub fn id(&self) -> &LogId {
        &self.id
    }

    /// A new connection publishes.
    pub fn connected(&mut self, now: Now) -> Result<(), PublishError> {
        self.cutter.connected();
        self.drain(now)
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now: Now) -> Result<(), PublishError> {
        self.hear(now);
        self.cutter.disconnected();
        self.drain(now)
    }

    /// A track has a configuration; one it had already changes nothing.
    ///
    /// # Errors
    /// Besides the log's: the track is of another codec than the session has.
    pub fn configure(&mut self, now: Now, known: Known) -> Result<(), PublishError> {
        if self.known.iter().any(|k| k.track == known.track) {
            return Ok(());
        }
        check(&self.told, &known)?;
        if !self.has(known.track.id) {
            warn_unseen(&self.id.channel, &self.told, &known);
        }
        // The open part closes under the configuration that its samples were made with.
        self.cutter.reconfigure(known_plan(&known, self.default_rate));
        self.drain(now)?;
        self.writer.append_mark(&Mark::Track(known.track.clone()))?;
        self.known.retain(|k| k.track.id != known.track.id);
        self.known.push(known);
        Ok(())
    }

    /// The encoder was heard.
    fn hear(&mut self, now: Now) {
        self.doubt |= now.mono.since(self.heard) >= SILENCE;
        self.heard = now.mono;
    }

    /// Is this track's configuration known?
    fn has(&self, track: TrackId) -> bool {
        self.known.iter().any(|k| k.track.id == track)
    }

    /// Takes a packet. One whose track has no configuration yet (after a restart, by an encoder
    /// that has not sent it) is recorded and not listed: nobody could play it.
    pub fn packet(&mut self, now: Now, p: Packet) -> Result<(), PublishError> {
        self.hear(now);
        if !self.has(p.track) {
            self.waiting_since.get_or_insert(now.mono);
            self.writer.append_packet(&p, None)?;
            return Ok(());
        }
        self.cutter.packet(now, p);
        self.drain(now)
    }

    /// Announces a cue: its record goes into the log here, its event into the first part that ends
    /// behind it.
    ///
    /// # Errors
    /// Why it may not be announced, or the log takes nothing more.
    pub async fn cue(&mut self, logs: &Logs, now: Now, ask: Ask) -> Result<Cue, CueRefused> {
        let cues = match &mut self.cues {
            Some(cues) => cues,
            None => self.cues.insert(Cues::before(logs, &self.id).await),
        };
        let end = self.cutter.end_wall().unwrap_or(now.wall);
        let newest = self.cutter.newest_wall().unwrap_or(end);
        let cue = cues.announce(ask, end, newest)?;
        self.writer.append_mark(&Mark::Cue(cue.clone())).map_err(PublishError::from)?;
        self.urgent = true;
        tracing::info!(log = %self.id, id = cue.id, start = %cue.start, "cue");
        Ok(cue)
    }

    /// When [`Live::tick`] or [`Live::settle`] has something to do.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let flush = self.waiting_since.map(|s| s.plus(FLUSH_AFTER));
        let gap = self.cutter.poll_timeout().map(|due| self.hold.map_or(due, |h| h.max(due)));
        [flush, gap].into_iter().flatten().min()
    }

    /// Lets the clock have its say. Media goes on without the registry, gaps do not: who can't be
    /// asked whether somebody else has the session would only contradict them.
    pub fn tick(&mut self, now: Now) -> Result<(), PublishError> {
        let is_due = self.cutter.poll_timeout().is_some_and(|due| due <= now.mono);
        if is_due && !self.reports.is_current(now.mono) {
            self.hold = Some(now.mono.plus(LOOK_AGAIN));
            return Ok(());
        }
        self.hold = None;
        self.cutter.handle_timeout(now);
        self.drain(now)
    }

    /// How far media runs ahead of the wall clock, on channels that follow it.
    pub fn ahead(&self, now: Now) -> Duration {
        let newest = self.cutter.newest_wall().filter(|_| self.pace == Pace::Wall);
        let ahead = newest.map_or(0, |w| w.since(now.wall));
        Duration::from_micros(u64::try_from(ahead).unwrap_or(0))
    }

    /// Does the cut wait for a key frame?
    pub fn wants_key_frame(&self) -> bool {
        self.cutter.wants_key_frame()
    }

    /// Moves what the cut decided into the log's batch, and reports new numbers.
    fn drain(&mut self, now: Now) -> Result<(), PublishError> {
        while let Some(out) = self.cutter.poll_output() {
            self.waiting_since.get_or_insert(now.mono);
            match out {
                Output::Packet(p, seq) => {
                    self.writer.append_packet(&p, seq)?;
                }
                Output::Mark(m) => self.mark(&m)?,
            }
        }
        Ok(())
    }

    fn mark(&mut self, m: &Mark) -> Result<(), PublishError> {
        match m {
            Mark::SegmentStart(s) => {
                if s.msn > self.newest && s.independent {
                    self.writer.roll_if_due(s.wall.0);
                }
                if s.discontinuity {
                    if s.msn > self.newest {
                        tracing::info!(log = %self.id, msn = %s.msn, "discontinuity");
                    }
                    self.held = Some(s.msn);
                }
                if !s.independent && !self.warned_gop {
                    self.warned_gop = true;
                    tracing::warn!(log = %self.id, msn = %s.msn, "the encoder's GOP is longer \
                        than the target duration: segments are cut without a key frame and \
                        players start late; set its key-frame interval to the segment length");
                }
                self.number(s.msn, s.dseq, s.wall);
            }
            Mark::Gap(g) => self.number(g.msn, g.dseq, g.wall),
            Mark::PartEnd(_) => self.urgent = true,
            _ => {}
        }
        self.writer.append_mark(m)?;
        Ok(())
    }

    fn number(&mut self, msn: Msn, dseq: u64, wall: Wall) {
        self.urgent = true;
        self.newest = self.newest.max(msn);
        if msn > self.reported {
            self.reported = msn;
            self.reports.send(Started { msn, dseq, wall });
        }
    }

    /// Hands what is due to the disk, after the registry allowed the numbers in it. Waits for the
    /// registry and for a disk that is behind; the connection is not read meanwhile.
    pub async fn settle(&mut self, now: Now) -> Result<(), PublishError> {
        if self.reports.fenced() {
            return Err(PublishError::Fenced(self.id.generation));
        }
        let due = self.waiting_since.is_some_and(|s| now.mono >= s.plus(FLUSH_AFTER));
        if self.urgent || due {
            if std::mem::take(&mut self.doubt) {
                self.reports.confirm().await;
            }
            if let Some(msn) = self.held.take() {
                self.reports.wait_acked(msn).await;
            }
            if !self.reports.allows(now, self.newest, self.min_segment) {
                self.reports.wait_allowed(self.newest, self.min_segment).await;
            }
            if self.reports.fenced() {
                return Err(PublishError::Fenced(self.id.generation));
            }
            self.writer.flush();
            self.urgent = false;
            self.waiting_since = None;
            self.writer.ready().await?;
        }
        Ok(())
    }

    /// A newer generation writes: nothing more is shown of this one.
    pub fn replace(&mut self) {
        self.writer.replace();
    }

    /// Ends the generation: what is open is closed and the last record says how. The caller tells
    /// the registry, then calls [`Live::seal`], also when the record could not be appended.
    pub fn end(&mut self, now: Now, session_over: bool) -> (End, Result<(), PublishError>) {
        let end = self.cutter.end(now, session_over);
        (end, self.drain(now))
    }

    /// How a log that takes nothing more ends: what its files hold.
    pub async fn holds(&self) -> Result<End, PublishError> {
        Ok(self.writer.holds().await?)
    }

    /// Records that as its end, in the room kept for it, and lets go of the log.
    pub async fn seal_stopped(self, end: End) -> Result<Sealed, PublishError> {
        Ok(self.writer.seal_stopped(end).await?)
    }

    /// Writes what is left, syncs, and lets go of the log.
    pub async fn seal(self) -> Result<Sealed, PublishError> {
        Ok(self.writer.seal().await?)
    }
}

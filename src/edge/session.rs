//! A watched session: its renditions once its constants are known, and who still wants it.

use crate::base::ids::{Channel, Msn, Session as Number, TrackId, Writer};
use crate::base::time::Mono;
use crate::edge::line::Line;
use crate::edge::rendition::Rendition;
use crate::edge::text::Text;
use crate::hls::multivariant::{self, List};
use crate::hls::playlist::Report;
use crate::log::id::{LogId, Rung};
use crate::media::timeline::mark::SessionRecord;
use crate::rt::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A feed nobody asked for this long ends. Above any player's reload interval by far.
const IDLE: Duration = Duration::from_secs(60);

/// A session whose constants are known.
#[derive(Debug)]
pub struct Opened {
    /// The constants.
    pub record: Arc<SessionRecord>,
    /// The multivariant playlist.
    pub multivariant: Arc<Text>,
    /// Its renditions, video first.
    pub renditions: Vec<Arc<Rendition>>,
}

impl Opened {
    /// Makes the renditions of a session.
    pub fn new(record: SessionRecord) -> Opened {
        let record = Arc::new(record);
        let multivariant = Arc::new(Text::of(multivariant::render(&record, List::Live)));
        let renditions = record
            .renditions
            .iter()
            .map(|r| Arc::new(Rendition::new(&record, &r.name, r.track)))
            .collect();
        Opened { record, multivariant, renditions }
    }

    /// The rendition that leads the others: its dates say where a moment is.
    pub fn leader(&self) -> Option<&Arc<Rendition>> {
        self.renditions.first()
    }

    /// The first number of the session, once there is one.
    pub fn first_msn(&self) -> Option<Msn> {
        self.renditions.iter().filter_map(|r| r.read().window.first_msn()).min()
    }

    /// The rendition of this name.
    pub fn rendition(&self, name: &str) -> Option<&Arc<Rendition>> {
        self.renditions.iter().find(|r| r.name == name)
    }

    /// The renditions of a line.
    pub fn of(&self, line: &Line) -> impl Iterator<Item = &Arc<Rendition>> {
        self.renditions.iter().filter(|r| line.has(r))
    }

    /// A line's tracks whose parts carry cues.
    pub fn carriers(&self, line: &Line) -> impl Iterator<Item = TrackId> {
        self.of(line).map(|r| r.track).filter(|t| self.record.carries_cues(*t))
    }

    /// Renders a new version of every rendition of a line that changed, each with the others'
    /// positions at this moment. The others keep theirs, and who waits for them sleeps on: a
    /// version's reports are as new as the version.
    pub fn publish(&self, line: &Line, now: Mono) {
        let all = self.of(line).any(|r| r.is_new());
        for r in self.of(line).filter(|r| all || r.is_due()) {
            let others: Vec<_> =
                self.renditions.iter().filter(|o| o.track != r.track).map(|o| o.read()).collect();
            let reports: Vec<Report<'_>> =
                others.iter().filter_map(|shelf| Report::of(&shelf.window)).collect();
            r.publish(&reports, now);
        }
    }
}

/// A watched session, shared between its feed and its viewers.
#[derive(Debug)]
pub struct Session {
    /// The channel.
    pub channel: Channel,
    /// Its number.
    pub number: Number,
    opened: watch::Sender<Option<Arc<Opened>>>,
    /// Nothing is shown because a log can't be read that may be readable soon.
    waits: AtomicBool,
    last_used: AtomicU64,
    /// The feed is asked to publish though no mark came (a viewer wants the DVR playlist).
    pub nudge: watch::Sender<()>,
    /// Media could not be read where the feed has noted it.
    pub doubt: Notify,
}

impl Session {
    /// A session nothing is known of.
    pub fn new(channel: Channel, number: Number, now: Mono) -> Session {
        Session {
            channel,
            number,
            opened: watch::Sender::new(None),
            waits: AtomicBool::new(false),
            last_used: AtomicU64::new(now.0),
            nudge: watch::Sender::new(()),
            doubt: Notify::new(),
        }
    }

    /// The log of a writer: the source's, or that of a rung.
    pub fn log(&self, rung: &str, writer: Writer) -> LogId {
        let (channel, session, generation) = (self.channel.clone(), self.number, writer.generation);
        let rung = writer.job.map(|job| Arc::new(Rung { job, name: rung.into() }));
        LogId { channel, session, generation, rung }
    }

    /// Nothing is shown yet, and who asks is better off at another edge.
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Says so, to who waits here already too.
    pub fn set_waits(&self, waits: bool) {
        if self.waits.swap(waits, Ordering::Relaxed) != waits {
            self.opened.send_modify(|_| {});
        }
    }

    /// Somebody asked for something of it.
    pub fn touch(&self, now: Mono) {
        self.last_used.fetch_max(now.0, Ordering::Relaxed);
    }

    /// When somebody last did.
    pub fn last_used(&self) -> Mono {
        Mono(self.last_used.load(Ordering::Relaxed))
    }

    /// The constants and renditions, when they are known.
    pub fn opened(&self) -> watch::Receiver<Option<Arc<Opened>>> {
        self.opened.subscribe()
    }

    /// The constants became known: the first word on them stands.
    pub fn open(&self, record: SessionRecord) -> Arc<Opened> {
        if let Some(opened) = self.opened.borrow().clone() {
            return opened;
        }
        let opened = Arc::new(Opened::new(record));
        self.opened.send_replace(Some(opened.clone()));
        opened
    }
}

/// Resolves when nobody asked for the session for a while.
pub async fn idle(session: Arc<Session>, clock: Clock) {
    loop {
        let over = session.last_used().plus(IDLE);
        if clock.now().mono >= over {
            return;
        }
        clock.sleep_until(over).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Generation, Msn, Seq, TrackId};
    use crate::base::time::Wall;
    use crate::edge::rendition::List;
    use crate::hls::playlist::{Skip, View};
    use crate::media::codec::VideoRange;
    use crate::media::timeline::mark::{
        GenerationStart, Mark, PartEnd, RENDER, Rendition, SegmentStart,
    };
    use crate::media::track::Kind;

    fn opened() -> Opened {
        let rendition = |name: &str, track, kind| Rendition {
            name: name.into(),
            track,
            kind,
            codecs: "x".into(),
            bandwidth: 1_000,
            resolution: None,
            frame_rate_millis: None,
            offered: true,
            range: VideoRange::Sdr,
            channels: None,
        };
        Opened::new(SessionRecord {
            target_duration: 4,
            segment: 2_000_000,
            part_target: 200_000,
            latency_budget: 0,
            render: RENDER,
            renditions: vec![
                rendition("video", TrackId::VIDEO, Kind::Video),
                rendition("audio", TrackId::AUDIO, Kind::Audio),
            ],
        })
    }

    /// What a feed does with a mark.
    fn apply(opened: &Opened, mark: &Mark) {
        for r in &opened.renditions {
            if r.write().window.apply(Generation(1).into(), mark).expect("it fits") {
                r.mark_changed();
            }
        }
    }

    fn part(track: TrackId, part: u32) -> Mark {
        let seq = Seq(u64::from(part));
        Mark::PartEnd(PartEnd {
            track,
            msn: Msn(1),
            part,
            first_seq: seq,
            last_seq: seq,
            decode_time: 0,
            duration: 200_000,
            independent: true,
        })
    }

    fn start(track: TrackId) -> Mark {
        Mark::SegmentStart(SegmentStart {
            track,
            msn: Msn(1),
            dseq: 0,
            discontinuity: false,
            independent: true,
            wall: Wall(0),
            first_seq: Seq(0),
        })
    }

    #[test]
    fn who_waits_for_a_rendition_is_woken_by_that_rendition() {
        let opened = opened();
        for r in &opened.renditions {
            r.write().window.set_init("0123456789abcdef");
        }
        let previous = None;
        let (session, generation, base) = (Number(1), Generation(1), Msn(1));
        let begin = GenerationStart { session, generation, job: None, base, dseq: 0, previous };
        apply(&opened, &Mark::Generation(begin));
        let mut watched: Vec<_> = opened.renditions.iter().map(|r| r.snapshots()).collect();
        let mut woken = |marks: &[Mark]| {
            marks.iter().for_each(|m| apply(&opened, m));
            opened.publish(&Line::Source, Mono(0));
            let mut now = |i: usize| {
                let woken = watched[i].has_changed().expect("it is there");
                watched[i].mark_unchanged();
                woken
            };
            [now(0), now(1)]
        };
        let (video, audio) = (TrackId::VIDEO, TrackId::AUDIO);
        let reports = |i: usize| {
            let snapshot = opened.renditions[i].snapshots().borrow().clone();
            let text = opened.renditions[i].text(&snapshot, List::View(View::Live), Skip::No);
            let text = text.expect("listed").rope().concat();
            text.matches("#EXT-X-RENDITION-REPORT").count()
        };
        // Whatever is listed for the first time changes everybody's reports.
        assert_eq!(woken(&[start(video), part(video, 0)]), [true, true]);
        assert_eq!(reports(0), 0);
        assert_eq!(woken(&[start(audio), part(audio, 0)]), [true, true]);
        assert_eq!((reports(0), reports(1)), (1, 1));
        assert_eq!(woken(&[part(video, 1)]), [true, false]);
        assert_eq!(woken(&[part(audio, 1)]), [false, true]);
        assert_eq!(woken(&[part(audio, 2), part(video, 2)]), [true, true]);
        assert_eq!(woken(&[]), [false, false]);
    }
}

//! Playlists that begin in the past, of one rendition: made when somebody asks for one, once for
//! every version and beginning, out of what the DVR playlist of that version is made of.

use crate::base::ids::Msn;
use crate::edge::text::Texts;
use crate::hls::playlist::Forms;
use crate::hls::rewind::{Start, Whole};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Beginnings that are remembered: each is a list of blocks and a version's head and tail, up to
/// 64 KiB while its playlist is short. One that is forgotten costs its next viewer a new list.
const KEPT: usize = 256;

/// A beginning, and its newest playlist.
#[derive(Debug)]
struct Kept {
    start: Start,
    of: Arc<Whole>,
    forms: Forms,
    texts: Arc<Texts>,
    /// When it was last asked for, counted in questions.
    asked: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Starts(Mutex<(u64, HashMap<Msn, Kept>)>);

impl Starts {
    /// The playlist of a version that begins with a segment; `begin` finds that. `None` when it is
    /// not listed in this version.
    pub fn texts(
        &self,
        msn: Msn,
        whole: &Arc<Whole>,
        begin: impl FnOnce() -> Option<Start>,
    ) -> Option<Arc<Texts>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, known) = &mut *kept;
        *asked += 1;
        let (mut start, before) = match known.get_mut(&msn) {
            Some(kept) if Arc::ptr_eq(&kept.of, whole) => {
                kept.asked = *asked;
                return Some(kept.texts.clone());
            }
            Some(kept) => (kept.start.clone(), Some(&kept.forms)),
            None => (begin()?, None),
        };
        let forms = start.forms(whole, before)?;
        let (of, texts) = (whole.clone(), Arc::new(Texts::new(&forms)));
        if known.len() >= KEPT && !known.contains_key(&msn) {
            let oldest = known.iter().min_by_key(|(_, kept)| kept.asked).map(|(msn, _)| *msn);
            oldest.and_then(|msn| known.remove(&msn));
        }
        known.insert(msn, Kept { start, of, forms, texts: texts.clone(), asked: *asked });
        Some(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Generation, Seq, Session, TrackId};
    use crate::base::time::{MICROS, Wall};
    use crate::edge::text::Coding;
    use crate::hls::playlist::{Skip, render};
    use crate::hls::window::Window;
    use crate::media::timeline::mark::{
        GenerationStart, Mark, PartEnd, RENDER, SegmentStart, SessionRecord,
    };

    const SEGMENTS: u64 = KEPT as u64 + 40;

    /// Segments from 0 on, of one part each.
    fn window() -> Window {
        let session = SessionRecord {
            target_duration: 1,
            segment: MICROS,
            part_target: MICROS,
            latency_budget: 0,
            render: RENDER,
            renditions: Vec::new(),
        };
        let (track, base) = (TrackId::VIDEO, Msn(0));
        let mut window = Window::new(Arc::new(session), track);
        window.set_init("aa");
        let (session, generation) = (Session(1), Generation(1));
        let begin =
            GenerationStart { session, generation, job: None, base, dseq: 0, previous: None };
        let segment = |n: u64| {
            let (msn, seq, wall) = (Msn(n), Seq(n), Wall(n.cast_signed() * MICROS));
            let (dseq, discontinuity, independent) = (0, false, true);
            let start =
                SegmentStart { track, msn, dseq, discontinuity, independent, wall, first_seq: seq };
            let part = PartEnd {
                track,
                msn,
                part: 0,
                first_seq: seq,
                last_seq: seq,
                decode_time: n,
                duration: MICROS,
                independent,
            };
            [Mark::SegmentStart(start), Mark::PartEnd(part)]
        };
        for mark in [Mark::Generation(begin)].into_iter().chain((0..SEGMENTS).flat_map(segment)) {
            window.apply(generation.into(), &mark).expect("it fits");
        }
        window
    }

    #[test]
    fn a_playlist_is_made_once_for_all_and_what_was_forgotten_is_made_again() {
        let (window, starts) = (window(), Starts::default());
        let version = render(&window, &[], true, None).expect("listed");
        let whole = version.whole.as_ref().expect("asked for");
        let ask = |n: u64| {
            let texts = starts.texts(Msn(n), whole, || window.start(Msn(n))).expect("listed");
            texts.get(Skip::No).clone()
        };
        let first = ask(0);
        assert!(Arc::ptr_eq(&first, &ask(0)), "two viewers share one text");
        let texts: Vec<_> = (0..SEGMENTS).map(ask).collect();
        assert_eq!(starts.0.lock().expect("no panic").1.len(), KEPT);
        assert!(Arc::ptr_eq(&texts[SEGMENTS as usize - 1], &ask(SEGMENTS - 1)));
        let again = ask(0);
        assert!(!Arc::ptr_eq(&first, &again), "it was asked for longest ago");
        assert_eq!(first.etag(Coding::Identity), again.etag(Coding::Identity));
        assert!(starts.texts(Msn(9_999), whole, || window.start(Msn(9_999))).is_none());
    }
}

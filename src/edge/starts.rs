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

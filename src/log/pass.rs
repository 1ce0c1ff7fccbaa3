//! Recovery's one pass over a log: what may be torn is read once, from the newest extent back, and
//! what was durable not at all. Reads; never writes.
//!
//! An extent says of itself how far the log was durable (`format::durable`), so the newest tells
//! whether those before it have to be read: while none of what was read vouches for an extent, it
//! is read too. An extent is indexed on from the footer of the one before it. Where that footer
//! cannot be read, the one before is read first: it has to be in any case.
//!
//! A log whose oldest extents were removed begins with one that is sealed and durable (`trim`), and
//! is indexed on from that one's footer.
//!
//! What is found: where the log ends (`Pass::end`), which is its last extent, or the first that is
//! not whole. Of the extents behind that, what recovery has to say and to decide by is kept; they
//! are read again only from where they are no records any more.

use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::footer::Footer;
use crate::log::format::index::Indexer;
use crate::log::id::extent_name;
use crate::log::reader::{ExtentReader, Place};
use crate::log::torn::Raw;
use crate::log::walk::{Good, State, Walk, walk_extent};
use std::collections::BTreeMap;

/// One extent that was read.
pub(super) struct Seen {
    pub(super) good: Good,
    /// How far anything in it, good records or not, says that the log is durable.
    pub(super) claim: Option<Position>,
    /// Where it is no records any more; `None` where it is records to its end.
    pub(super) rest: Option<u64>,
    /// If the log ends here, it is not a tear that ends it: why it is refused.
    refused: Option<LogError>,
}

/// An extent in the middle whose footer was begun: it gets it.
pub(super) struct Begun {
    pub(super) extent: u32,
    pub(super) footer: Footer,
}

/// What the pass has found. Numbers of extents are places in the list of those that are there.
pub(super) struct Pass<'a> {
    place: Place<'a>,
    all: &'a [u32],
    /// The extent that the log begins with.
    first: u32,
    /// Those that were read.
    pub(super) seen: BTreeMap<usize, Seen>,
    /// The extent in which the log ends; `None` in an empty log.
    pub(super) end: Option<(usize, State)>,
    /// All that is known at that end.
    pub(super) walk: Walk,
    /// In order.
    pub(super) begun: Vec<Begun>,
}

impl<'a> Pass<'a> {
    /// Reads the log whose extents are `all`, from `first` on, as far as it may be torn.
    ///
    /// # Errors
    /// It is damaged in a way that no crash explains, or cannot be read.
    pub(super) fn over(place: Place<'a>, first: u32, all: &'a [u32]) -> Result<Pass<'a>, LogError> {
        let (seen, walk) = (BTreeMap::new(), Walk::default());
        let mut pass = Pass { place, all, first, seen, end: None, walk, begun: Vec::new() };
        let whole = (first..).zip(all).take_while(|(due, extent)| due == *extent).count();
        for i in (whole..all.len()).rev() {
            pass.read(i, &mut Walk::default())?;
        }
        // The first that is missing ends the log as one that is torn at its start would.
        let mut to = all.len().min(whole + 1);
        while to > 0 {
            let last = to - 1;
            let safe = pass.claim().is_some_and(|c| pass.due(last) < c.extent);
            if (safe || pass.is_trimmed_at(last))
                && let Some(footer) = footer(place, pass.due(last))?
            {
                pass.take(last, &footer);
                to = last;
                continue;
            }
            let (mut from, mut before) = (last, None);
            while from > 0 && before.is_none() {
                before = footer(place, pass.due(from - 1))?;
                from -= usize::from(before.is_none());
            }
            if pass.is_trimmed_at(from) {
                let why = "its footer cannot be read, and what was before it is removed";
                return Err(damaged(place, pass.due(from), 0, why));
            }
            pass.run(from, to, Walk::behind(before.as_ref()))?;
            to = from;
        }
        let refused = pass.end.as_ref().and_then(|(i, _)| pass.seen.get_mut(i)?.refused.take());
        refused.map_or(Ok(pass), Err)
    }

    /// The number of the extent that is due at a place in the list.
    pub(super) fn due(&self, i: usize) -> u32 {
        self.first + i as u32
    }

    /// Is this the extent at which a log begins whose older ones were removed?
    fn is_trimmed_at(&self, i: usize) -> bool {
        i == 0 && self.first > 0
    }

    /// Takes an extent for whole without reading it.
    fn take(&mut self, i: usize, footer: &Footer) {
        self.walk.follows(Walk::of(footer));
        if self.all.len() == 1 {
            self.walk.indexer = Indexer::at(footer);
            self.end = Some((i, State::Whole { at: footer.records_end }));
        }
    }

    /// The highest claim in what was read.
    fn claim(&self) -> Option<Position> {
        self.seen.values().filter_map(|s| s.claim).max()
    }

    /// Reads extents `from..to`, of which `walk` is at the start; what lies behind them was read
    /// before.
    fn run(&mut self, from: usize, to: usize, mut walk: Walk) -> Result<(), LogError> {
        let (mut begun, mut end) = (Vec::new(), None);
        for i in from..to {
            if end.is_some() {
                self.read(i, &mut Walk::default())?;
                continue;
            }
            if i > from {
                walk.indexer.roll();
            }
            let last = i + 1 == self.all.len();
            match self.look(i, &mut walk)? {
                State::Whole { at } if last => end = Some((i, State::Whole { at })),
                State::Whole { .. } => {}
                State::Unsealed { at, footer: true } if !last => {
                    let (extent, footer) = (self.due(i), walk.indexer.footer(at));
                    begun.push(Begun { extent, footer });
                }
                // Without even the beginning of a footer nothing says that its records are all
                // there.
                State::Unsealed { at, footer: false } if !last => {
                    let why = "it ends without its footer".into();
                    end = Some((i, State::Torn { at, why }));
                }
                state => end = Some((i, state)),
            }
        }
        match end {
            Some(end) => (self.end, self.walk, self.begun) = (Some(end), walk, begun),
            None => {
                self.walk.follows(walk);
                begun.append(&mut self.begun);
                self.begun = begun;
            }
        }
        Ok(())
    }

    /// Reads an extent that has to follow those before it.
    fn look(&mut self, i: usize, walk: &mut Walk) -> Result<State, LogError> {
        let due = self.due(i);
        if self.all[i] == due {
            return self.read(i, walk);
        }
        Ok(State::Torn { at: 0, why: format!("extent {due} is missing") })
    }

    /// Reads an extent, whatever there is before it.
    fn read(&mut self, i: usize, walk: &mut Walk) -> Result<State, LogError> {
        let (place, extent) = (self.place, self.all[i]);
        let generation = place.id.generation;
        let (mut good, mut refused) = (Good::default(), None);
        let state = match ExtentReader::open(place, extent) {
            Ok(Some(reader)) => walk_extent(&reader, generation, walk, &mut good)?,
            Ok(None) => {
                return Err(LogError::NotFound { path: place.dir.join(extent_name(extent)) });
            }
            Err(LogError::Header { source, .. }) if source.is_damage() => {
                let raw = Raw::open(place.fs, place.dir, extent)?;
                let why = source.to_string();
                if raw.begins_well()? {
                    refused = Some(damaged(place, extent, 0, &why));
                }
                if raw.len <= HEADER_LEN as u64 && i + 1 == self.all.len() {
                    State::Unsealed { at: 0, footer: false }
                } else {
                    State::Torn { at: 0, why }
                }
            }
            Err(e @ LogError::Damaged { .. }) => {
                let why = e.to_string();
                refused = Some(e);
                State::Torn { at: 0, why }
            }
            Err(e) => return Err(e),
        };
        let (mut claim, mut rest) = (good.claim, None);
        if let State::Torn { at, .. } = &state {
            let from = (*at).max(HEADER_LEN as u64);
            let raw = Raw::open(place.fs, place.dir, extent)?;
            claim = claim.max(raw.claim(generation, from)?);
            rest = Some(from);
        }
        self.seen.insert(i, Seen { good, claim, rest, refused });
        Ok(state)
    }
}

/// The footer of an extent; `None` where there is none that can be read.
pub(super) fn footer(place: Place<'_>, extent: u32) -> Result<Option<Footer>, LogError> {
    let found = ExtentReader::open(place, extent).and_then(|r| match r {
        Some(reader) => reader.footer(),
        None => Ok(None),
    });
    match found {
        Err(LogError::Header { source, .. }) if source.is_damage() => Ok(None),
        Err(LogError::Damaged { .. }) => Ok(None),
        found => found,
    }
}

/// Damage where the log was durable.
pub(super) fn damaged(place: Place<'_>, extent: u32, offset: u64, why: &str) -> LogError {
    let dir = place.dir.display();
    let why = format!(
        "{why}, and good records follow: that is no torn tail. The log is left as it is; \
         `castctl repair {dir}` keeps every good record of it"
    );
    LogError::Damaged { path: place.dir.join(extent_name(extent)), offset, why }
}

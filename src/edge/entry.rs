//! The URLs that lead on: a channel's, to its current session; a moment's, to the session and
//! segment that have it; and what begins there.
//!
//! A moment becomes a segment's number by the leader's dates alone, in a session that
//! `edge::choice` names, and only where that segment is complete: every edge leads to the same URL.

use crate::api::types::SessionSpan;
use crate::base::ids::{Channel, Msn, Session as Number};
use crate::base::time::{Mono, Wall, micros};
use crate::edge::answer::{self, Kept};
use crate::edge::asked::Asked;
use crate::edge::channels::Current;
use crate::edge::choice;
use crate::edge::http::{Answer, FIRST_MEDIA, Handler};
use crate::edge::ranges::RANGE_MAX;
use crate::edge::session::Opened;
use crate::edge::text::Text;
use crate::hls::multivariant::{self, List};
use crate::hls::name::{Path, Stretch};
use crate::hls::reload::{ADVANCE_SEGMENTS, State};
use crate::hls::rewind::{Found, Until};
use std::sync::Arc;
use std::time::Duration;

/// Sessions that are looked into for a moment: the first has it, as a rule; the next where its
/// media ended before.
const LOOKED_INTO: usize = 4;

/// On to another path, with the query.
fn lead(path: &Path, query: &str) -> Answer {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    answer::redirect(&format!("{path}{query}"))
}

/// What is asked for has not happened yet, as a whole.
pub(super) fn not_over() -> Answer {
    answer::not_found(
        "the range is not over yet: ask again when it is, or for from/TIME without an end",
    )
}

/// Why no playlist of a rendition that is so far begins with a segment, if none ever will.
pub(super) fn never_begins(opened: &Opened, first: Msn, state: State) -> Option<Answer> {
    if let Some(begin) = opened.first_msn().filter(|begin| first < *begin) {
        let why = format!("this session begins with segment {begin}");
        return Some(answer::not_found(&why));
    }
    let next = state.next.filter(|next| first >= *next)?;
    let far = state.ended || first.0 - next.0 > ADVANCE_SEGMENTS;
    far.then(|| answer::not_found("this session has no such segment"))
}

impl Handler {
    /// The channel's stable URL: on to its current session, once that has something to show.
    pub(super) async fn entry(&self, channel: &Channel, query: &str) -> Answer {
        let deadline = self.deadline(FIRST_MEDIA);
        let mut table = self.channels().sources().directory.table();
        loop {
            table.mark_unchanged();
            match self.channels().current(channel) {
                Current::None if !self.channels().sources().directory.is_known() => {
                    return answer::unavailable("the upstream has not told its channels yet");
                }
                Current::None => return answer::not_found("nobody publishes to this channel"),
                Current::Open(session) => {
                    if !self.has_media(channel, session, deadline).await {
                        return answer::unavailable("no media yet");
                    }
                    let path = Path::Multivariant { channel: channel.clone(), session };
                    return lead(&path, query);
                }
                Current::Starting(_) => {
                    if !self.hold(&mut table, deadline).await {
                        return answer::unavailable("no media yet");
                    }
                }
            }
        }
    }

    /// Waits until every rendition lists a complete segment: players take a playlist of parts alone
    /// for an empty one, hls.js as a fatal error. When that takes too long, parts must do. A rung
    /// that nobody makes keeps viewers waiting no longer than a segment may last: they have the
    /// others.
    async fn has_media(&self, channel: &Channel, session: Number, deadline: Mono) -> bool {
        let Ok((_, opened)) = self.opened(channel, session).await else { return false };
        let target = Duration::from_secs(opened.record.target_duration.into());
        let rungs = self.deadline(target).min(deadline);
        for rendition in &opened.renditions {
            let is_rung = rendition.track.is_rung();
            let deadline = if is_rung { rungs } else { deadline };
            let mut snapshots = rendition.snapshots();
            loop {
                let listed = snapshots.borrow_and_update().state.is_some();
                if rendition.read().window.has_segment() {
                    break;
                }
                if !self.hold(&mut snapshots, deadline).await {
                    if is_rung {
                        break;
                    }
                    return listed;
                }
            }
        }
        true
    }

    /// All sessions of a channel.
    pub(super) async fn sessions(&self, channel: &Channel) -> Result<Arc<[SessionSpan]>, Answer> {
        let all = self.channels().sessions(channel).await;
        let all = all.map_err(|e| answer::unavailable(&e.to_string()))?;
        match all.is_empty() {
            true => Err(answer::not_found("this channel has no recordings")),
            false => Ok(all),
        }
    }

    /// A moment's URL: on to the session and the segment that have it.
    pub(super) async fn rewind(
        &self,
        channel: &Channel,
        from: Wall,
        to: Option<Wall>,
        query: &str,
    ) -> Answer {
        let found = match to {
            None => self.open_ended(channel, from).await,
            Some(to) => self.closed(channel, from, to).await,
        };
        found.map_or_else(|no| no, |path| lead(&path, query))
    }

    async fn open_ended(&self, channel: &Channel, from: Wall) -> Result<Path, Answer> {
        let all = self.sessions(channel).await?;
        let (session, first) = self.moment(channel, &all, from).await?;
        Ok(Path::MultivariantFrom { channel: channel.clone(), session, first })
    }

    async fn closed(&self, channel: &Channel, from: Wall, to: Wall) -> Result<Path, Answer> {
        if to <= from {
            return Err(answer::bad_request("a range ends after it begins"));
        }
        if to.since(from) > micros(RANGE_MAX) {
            let hours = RANGE_MAX.as_secs() / 3600;
            return Err(answer::bad_request(&format!("a range has {hours} hours at most")));
        }
        if to > self.channels().sources().clock.now().wall {
            return Err(not_over());
        }
        let all = self.sessions(channel).await?;
        let (session, first) = self.moment(channel, &all, from).await?;
        let deadline = self.deadline(FIRST_MEDIA);
        for number in choice::until(&all, session, to) {
            let (_, opened) = self.opened(channel, number).await?;
            match self.last(&opened, to, deadline).await? {
                Until::Segment(last) if last >= first => {
                    self.all_have(&opened, last, deadline).await;
                    return Ok(Path::Range(Stretch { channel: channel.clone(), first, last }));
                }
                Until::Segment(_) | Until::Nothing => {}
                Until::NotYet => return Err(not_over()),
            }
        }
        Err(answer::not_found("nothing was recorded in this range"))
    }

    /// The session and the segment that a moment leads to.
    async fn moment(
        &self,
        channel: &Channel,
        all: &[SessionSpan],
        at: Wall,
    ) -> Result<(Number, Msn), Answer> {
        let deadline = self.deadline(FIRST_MEDIA);
        for number in choice::from(all, at).into_iter().take(LOOKED_INTO) {
            let (_, opened) = self.opened(channel, number).await?;
            if let Some(msn) = self.first(&opened, at, deadline).await? {
                self.all_have(&opened, msn, deadline).await;
                return Ok((number, msn));
            }
        }
        Err(answer::not_found("nothing has been recorded from that moment on"))
    }

    /// The first segment of what a session has from a moment on; `None`: its media ended before.
    async fn first(
        &self,
        opened: &Opened,
        at: Wall,
        deadline: Mono,
    ) -> Result<Option<Msn>, Answer> {
        let Some(leader) = opened.leader() else { return Ok(None) };
        let mut snapshots = leader.snapshots();
        loop {
            let is_read = snapshots.borrow_and_update().state.is_some();
            let (found, ended) = {
                let window = &leader.read().window;
                (window.moment(at), window.is_ended())
            };
            match found {
                _ if !is_read => {}
                Found::Segment(msn) => return Ok(Some(msn)),
                Found::Beyond if ended => return Ok(None),
                Found::Beyond => {
                    return Err(answer::not_found("there is no media from that moment on yet"));
                }
                Found::Soon => {}
            }
            if !self.hold(&mut snapshots, deadline).await {
                return Err(answer::unavailable("no media yet"));
            }
        }
    }

    /// The last segment of what a session has before a moment.
    async fn last(&self, opened: &Opened, at: Wall, deadline: Mono) -> Result<Until, Answer> {
        let Some(leader) = opened.leader() else { return Ok(Until::Nothing) };
        let mut snapshots = leader.snapshots();
        while snapshots.borrow_and_update().state.is_none() {
            if !self.hold(&mut snapshots, deadline).await {
                return Err(answer::unavailable("no media yet"));
            }
        }
        Ok(leader.read().window.until(at))
    }

    /// Waits until every rendition has the segment whole; when that takes too long, parts must do,
    /// as for the channel's entry.
    async fn all_have(&self, opened: &Opened, msn: Msn, deadline: Mono) {
        let target = Duration::from_secs(opened.record.target_duration.into());
        let rungs = self.deadline(target).min(deadline);
        for rendition in &opened.renditions {
            let is_rung = rendition.track.is_rung();
            let deadline = if is_rung { rungs } else { deadline };
            let mut snapshots = rendition.snapshots();
            loop {
                let state = snapshots.borrow_and_update().state;
                let has = |s: State| s.ended || s.next.is_some_and(|next| next > msn);
                if state.is_some_and(has) || !self.hold(&mut snapshots, deadline).await {
                    break;
                }
            }
        }
    }

    /// The multivariant playlist of a session from a segment on.
    pub(super) async fn multivariant_from(
        &self,
        channel: &Channel,
        session: Number,
        first: Msn,
        asked: &Asked,
    ) -> Answer {
        let opened = match self.opened(channel, session).await {
            Ok((_, opened)) => opened,
            Err(no) => return no,
        };
        let Some(leader) = opened.leader() else { return answer::not_found("no renditions") };
        let (mut snapshots, deadline) = (leader.snapshots(), self.deadline(FIRST_MEDIA));
        loop {
            let state = snapshots.borrow_and_update().state;
            if let Some(no) = state.and_then(|state| never_begins(&opened, first, state)) {
                return no;
            }
            if state.and_then(|s| s.next).is_some_and(|next| next > first) {
                let text = multivariant::render(&opened.record, List::From(first));
                return answer::playlist(asked, &Arc::new(Text::of(text)), &Kept::Constant);
            }
            if !self.hold(&mut snapshots, deadline).await {
                return answer::unavailable("no media yet");
            }
        }
    }
}

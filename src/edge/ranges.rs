//! Closed ranges: what was recorded from one segment to another, over any sessions, as playlists
//! that never change. Each session is read by its own feed, as for who watches it.

use crate::api::types::SessionSpan;
use crate::base::ids::{Msn, Session as Number};
use crate::base::time::{Wall, micros};
use crate::edge::answer::{self, Kept};
use crate::edge::asked::Asked;
use crate::edge::choice;
use crate::edge::entry::not_over;
use crate::edge::http::{Answer, FIRST_MEDIA, Handler, prepare};
use crate::edge::session::Opened;
use crate::edge::text::Text;
use crate::hls::multivariant::{self, List};
use crate::hls::name::Stretch;
use crate::hls::range::{self, Piece};
use crate::hls::reload::ADVANCE_SEGMENTS;
use crate::media::timeline::mark::SessionRecord;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest range. Of 2 s segments a rendition's playlist has 2 MB then, which is as much as
/// players take well; what is longer is for `castctl export`.
pub const RANGE_MAX: Duration = Duration::from_secs(12 * 3600);

/// How much longer than the moments that were asked for a range of whole segments may be: from the
/// key frame before the first to the end of the last.
const ALIGNED: Duration = Duration::from_secs(120);

/// Playlists that are remembered: an audience that is given one URL asks for few at a time, and
/// what is in front of an edge keeps them too.
const KEPT: usize = 16;

type Key = (Stretch, String);

type Made = VecDeque<(Key, Arc<Text>)>;

/// Playlists of ranges that were made, the oldest first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ranges(Arc<Mutex<Made>>);

impl Ranges {
    fn get(&self, key: &Key) -> Option<Arc<Text>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(k, _)| k == key).map(|(_, text)| text.clone())
    }

    fn keep(&self, key: Key, text: Arc<Text>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((key, text));
    }
}

/// The sessions of a range, oldest first, and from when to when it lasts.
struct Crossed {
    sessions: Vec<(Number, Arc<Opened>)>,
    during: (Wall, Wall),
}

impl Crossed {
    /// What all sessions have.
    fn common(&self) -> Option<SessionRecord> {
        let records: Vec<_> = self.sessions.iter().map(|(_, opened)| &*opened.record).collect();
        multivariant::common(&records)
    }

    /// The playlist of a rendition.
    fn render(&self, stretch: &Stretch, rendition: &str) -> Option<String> {
        let piece = |(session, opened): &(Number, Arc<Opened>)| -> Option<Piece> {
            let home = format!("../../s{session}/{rendition}/");
            let window = &opened.rendition(rendition)?.read().window;
            range::piece(window, (stretch.first, stretch.last), &home, self.during)
        };
        range::render(&self.sessions.iter().filter_map(piece).collect::<Vec<_>>())
    }
}

impl Handler {
    /// The multivariant playlist of a range.
    pub(super) async fn range(&self, stretch: &Stretch, asked: &Asked) -> Answer {
        match self.crossed(stretch).await.map(|crossed| crossed.common()) {
            Ok(Some(common)) => {
                let text = Text::of(multivariant::render(&common, List::Range));
                answer::playlist(asked, &Arc::new(text), &Kept::Constant)
            }
            Ok(None) => answer::not_found("the sessions of this range have no rendition in common"),
            Err(no) => no,
        }
    }

    /// The playlist of one rendition of a range.
    pub(super) async fn range_media(
        &self,
        stretch: Stretch,
        rendition: String,
        asked: &Asked,
    ) -> Answer {
        let key = (stretch, rendition);
        let text = match self.ranges.get(&key) {
            Some(text) => text,
            None => {
                let crossed = match self.crossed(&key.0).await {
                    Ok(crossed) => crossed,
                    Err(no) => return no,
                };
                let names =
                    |common: SessionRecord| common.renditions.iter().any(|r| r.name == key.1);
                let text = match crossed.common().is_some_and(names) {
                    true => crossed.render(&key.0, &key.1),
                    false => None,
                };
                let Some(text) = text else {
                    return answer::not_found("no such rendition in every session of this range");
                };
                let text = Arc::new(Text::of(text));
                self.ranges.keep(key, text.clone());
                text
            }
        };
        prepare(&text, asked).await;
        answer::playlist(asked, &text, &Kept::Constant)
    }

    /// The sessions of a range, each read as far as the range goes.
    async fn crossed(&self, stretch: &Stretch) -> Result<Crossed, Answer> {
        let Stretch { channel, first, last } = stretch;
        let all = self.sessions(channel).await?;
        let spans = choice::across(&all, (*first, *last));
        let spans = spans.map_err(|e| answer::bad_request(&e.to_string()))?;
        let mut sessions = Vec::with_capacity(spans.len());
        for span in &spans {
            let (_, opened) = self.opened(channel, span.session).await?;
            self.read(&opened, span, *last).await?;
            sessions.push((span.session, opened));
        }
        let leader = |at: Option<&(Number, Arc<Opened>)>| at.and_then(|(_, o)| o.leader().cloned());
        let (begin, end) = (leader(sessions.first()), leader(sessions.last()));
        let from = begin.and_then(|r| r.read().window.date(*first));
        let to = end.and_then(|r| {
            let window = &r.read().window;
            window.date(*last).and(window.date(last.next()).or(window.complete_until()))
        });
        let Some(during) = from.zip(to) else {
            return Err(answer::not_found("no session has these segments"));
        };
        if during.1.since(during.0) > micros(RANGE_MAX + ALIGNED) {
            let hours = RANGE_MAX.as_secs() / 3600;
            return Err(answer::bad_request(&format!("a range has {hours} hours at most")));
        }
        Ok(Crossed { sessions, during })
    }

    /// Waits until what a session has is read, up to a segment.
    async fn read(&self, opened: &Opened, span: &SessionSpan, last: Msn) -> Result<(), Answer> {
        let deadline = self.deadline(FIRST_MEDIA);
        for rendition in &opened.renditions {
            let mut snapshots = rendition.snapshots();
            loop {
                let state = snapshots.borrow_and_update().state;
                match state {
                    Some(s) if s.ended || s.next.is_some_and(|next| next > last) => break,
                    Some(s) if span.end.is_none() => {
                        // Another edge may have read a little further.
                        let soon = s.next.map_or(Msn(0), |next| Msn(next.0 + ADVANCE_SEGMENTS));
                        if last > soon {
                            return Err(not_over());
                        }
                    }
                    _ => {}
                }
                if !self.hold(&mut snapshots, deadline).await {
                    return Err(answer::unavailable("what was recorded has not been read yet"));
                }
            }
        }
        Ok(())
    }
}

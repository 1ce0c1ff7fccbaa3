//! Cues as they are asked for: which may be announced on a channel now, and what of them is
//! recorded.

use crate::api::cues as api;
use crate::base::error::Kind;
use crate::base::time::{MICROS, Wall};
use crate::ingest::context::PublishError;
use crate::ingest::publisher::Publisher;
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::subscription;
use crate::media::timeline::cue::{Cue, CueError};
use crate::media::timeline::mark::Mark;
use std::collections::HashSet;

/// Most cues of a channel that are not over: each stands in every playlist until it is, with up to
/// 12 KiB of data.
pub const CUES_OPEN_MAX: usize = 100;

/// How far before or after now a cue may begin, microseconds: what has been is on air no longer,
/// and what comes later can be announced later.
pub const CUE_AWAY_MAX: i64 = 24 * 3_600 * MICROS;

/// What somebody wants announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Its name, unique in the session.
    pub id: String,
    /// What kind of thing it is; may be empty.
    pub class: String,
    /// When it begins; `None`: with the picture that the encoder has just sent.
    pub start: Option<Wall>,
    /// How long it lasts in microseconds; 0: it is a moment.
    pub duration: i64,
    /// What is to be known of it: JSON.
    pub data: String,
}

/// Why a cue is not announced.
#[derive(Debug, thiserror::Error)]
pub enum CueRefused {
    /// It can't be shown.
    #[error(transparent)]
    Invalid(#[from] CueError),
    /// Ids are never used again.
    #[error("this session has had a cue {0:?}: give this one another id")]
    Used(String),
    /// It begins too far from now.
    #[error("a cue begins within 24 hours of now")]
    Away,
    /// [`CUES_OPEN_MAX`].
    #[error("{CUES_OPEN_MAX} cues of this channel are not over: wait for one to end")]
    TooMany,
    /// There is nothing to announce it in.
    #[error("nothing is on air: the session has no media yet")]
    NotLive,
    /// It could not be recorded.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<api::Cue> for Ask {
    fn from(cue: api::Cue) -> Ask {
        let api::Cue { id, class, at: start, duration, data } = cue;
        Ask { id, class, start, duration, data }
    }
}

impl From<CueRefused> for api::Refused {
    fn from(e: CueRefused) -> api::Refused {
        let kind = match &e {
            CueRefused::Invalid(_) | CueRefused::Away => Kind::Invalid,
            CueRefused::Used(_) | CueRefused::TooMany => Kind::Conflict,
            CueRefused::NotLive => Kind::NotFound,
            CueRefused::Publish(_) => Kind::Unavailable,
        };
        api::Refused::new(kind, e)
    }
}

/// Announces a cue that somebody posted, and answers.
pub async fn post(publisher: &mut Publisher, post: api::Post) {
    let announced = publisher.cue(Ask::from(post.cue)).await;
    let (session, generation) = (publisher.session().0, publisher.generation().0);
    let announced = announced.map_err(api::Refused::from).map(|cue| api::Announced {
        id: cue.id,
        start: cue.start.to_string(),
        session,
        generation,
    });
    // Who asked may have given up waiting.
    let _ = post.reply.send(announced);
}

/// The cues of a session, as far as they bind new ones.
#[derive(Debug, Default)]
pub struct Cues {
    ids: HashSet<String>,
    /// Ends of those that are not over.
    open: Vec<Wall>,
}

impl Cues {
    /// The cues that earlier generations of a log's session recorded here. A log that can't be read
    /// is left out: should an id come again, players are told of the first alone.
    pub async fn before(logs: &Logs, id: &LogId) -> Cues {
        let mut cues = Cues::default();
        let all = logs.of_session(&id.channel, id.session).await.unwrap_or_default();
        for earlier in all.into_iter().filter(|e| e.generation < id.generation) {
            if let Err(e) = cues.read(logs, &earlier).await {
                tracing::warn!(log = %earlier, "its cues are not known: {e}");
            }
        }
        cues
    }

    async fn read(&mut self, logs: &Logs, id: &LogId) -> Result<(), LogError> {
        let index = logs.index(id).await?;
        for m in index.footers.iter().flat_map(|f| f.marks()) {
            self.take(&m.mark);
        }
        if index.sealed {
            return Ok(());
        }
        let mut rest = logs.subscribe(id, subscription::From::Position(index.tail))?;
        while let Some(batch) = rest.next().await? {
            for entry in batch.records() {
                if let Record::Mark(mark) = entry.record {
                    self.take(&mark);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, mark: &Mark) {
        if let Mark::Cue(cue) = mark
            && self.ids.insert(cue.id.clone())
        {
            self.open.push(cue.end());
        }
    }

    /// What is recorded of a cue: `end` is where the session's dates have come to, `newest` the
    /// date of the newest picture.
    ///
    /// # Errors
    /// Why it may not be announced.
    pub fn announce(&mut self, ask: Ask, end: Wall, newest: Wall) -> Result<Cue, CueRefused> {
        let Ask { id, class, start, duration, data } = ask;
        let start = start.unwrap_or(newest);
        // Dates in playlists have milliseconds: the event in the media has the same moment.
        let start = Wall(start.0.div_euclid(1000) * 1000);
        let cue = Cue { id, class, start, duration, added: end, data, repeated: false };
        cue.check()?;
        if cue.start.since(end).saturating_abs() > CUE_AWAY_MAX {
            return Err(CueRefused::Away);
        }
        if self.ids.contains(&cue.id) {
            return Err(CueRefused::Used(cue.id));
        }
        self.open.retain(|over| *over >= end);
        if self.open.len() >= CUES_OPEN_MAX {
            return Err(CueRefused::TooMany);
        }
        self.ids.insert(cue.id.clone());
        self.open.push(cue.end());
        Ok(cue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_795_195_386_125_000);

    fn ask(id: &str) -> Ask {
        let (id, class, data) = (id.into(), String::new(), "1".into());
        Ask { id, class, start: None, duration: MICROS, data }
    }

    #[test]
    fn an_id_is_used_once_and_a_cue_begins_near_now() {
        let mut cues = Cues::default();
        let newest = NOW.plus(500_500);
        let first = cues.announce(ask("a"), NOW, newest).expect("may be announced");
        assert_eq!((first.start, first.added), (NOW.plus(500_000), NOW), "whole milliseconds");
        let at = |after| Ask { start: Some(NOW.plus(after)), ..ask("b") };
        for (asked, said) in [
            (ask("a"), "this session has had a cue \"a\": give this one another id"),
            (at(CUE_AWAY_MAX + 1000), "a cue begins within 24 hours of now"),
            (at(-CUE_AWAY_MAX - 1000), "a cue begins within 24 hours of now"),
            (Ask { data: "{".into(), ..ask("b") }, "a cue's data is not JSON: EOF"),
        ] {
            let refused = cues.announce(asked, NOW, newest).expect_err("refused").to_string();
            assert!(refused.starts_with(said), "{refused}");
        }
        // What was refused has used no id.
        cues.announce(at(CUE_AWAY_MAX), NOW, newest).expect("may be announced");
    }

    #[test]
    fn so_many_are_open_and_the_next_waits_for_an_end() {
        let mut cues = Cues::default();
        for n in 0..CUES_OPEN_MAX {
            cues.announce(ask(&n.to_string()), NOW, NOW).expect("may be announced");
        }
        let refused = cues.announce(ask("x"), NOW, NOW).expect_err("too many").to_string();
        assert_eq!(refused, "100 cues of this channel are not over: wait for one to end");
        let later = NOW.plus(MICROS + 1);
        cues.announce(ask("x"), later, later).expect("they are over");
    }
}

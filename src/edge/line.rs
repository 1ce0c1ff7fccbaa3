//! Which logs a feed reads, one after the other: those of a session's source, or of one of its
//! rungs.

use crate::api::types::LiveSession;
use crate::base::ids::Writer;
use crate::edge::rendition::Rendition;
use crate::log::id::LogId;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The tracks that the encoder sent.
    Source,
    /// The rendition of this name that a transcoder makes.
    Rung(Arc<str>),
}

impl Line {
    /// The line that a log belongs to.
    pub fn of(id: &LogId) -> Line {
        match &id.rung {
            None => Line::Source,
            Some(rung) => Line::Rung(Arc::clone(&rung.name)),
        }
    }

    /// Is it one of its renditions?
    pub fn has(&self, rendition: &Rendition) -> bool {
        match self {
            Line::Source => !rendition.track.is_rung(),
            Line::Rung(name) => rendition.track.is_rung() && *rendition.name == **name,
        }
    }

    /// The rung's name; empty for the source.
    pub fn rung(&self) -> &str {
        match self {
            Line::Source => "",
            Line::Rung(name) => name,
        }
    }

    /// Its writers, oldest first.
    fn writers(&self, live: &LiveSession) -> Vec<Writer> {
        match self {
            Line::Source => live.generations.iter().map(|(g, _)| (*g).into()).collect(),
            Line::Rung(_) => {
                let writer = |generation, job| Writer { generation, job: Some(job) };
                live.jobs.iter().map(|(g, j, _)| writer(*g, *j)).collect()
            }
        }
    }

    /// Has another writer gone on after this one?
    pub fn goes_on(&self, live: &LiveSession, writer: Writer) -> bool {
        self.writers(live).into_iter().any(|w| w > writer)
    }

    /// Is nothing more to be waited for from this writer?
    pub fn is_past(&self, live: &LiveSession, writer: Writer) -> bool {
        live.over || self.goes_on(live, writer)
    }

    /// The writer to read after `done`, if there is one.
    pub fn next(&self, live: &LiveSession, done: Option<Writer>) -> Option<Writer> {
        self.writers(live).into_iter().find(|w| done.is_none_or(|d| *w > d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Generation, Job, Session};

    #[test]
    fn each_line_has_its_writers_in_order() {
        let live = LiveSession {
            session: Session(1),
            over: false,
            open: true,
            generations: vec![(Generation(1), "a".into()), (Generation(2), "b".into())],
            jobs: vec![
                (Generation(1), Job(1), "t".into()),
                (Generation(1), Job(2), "u".into()),
                (Generation(2), Job(1), "t".into()),
            ],
            record: None,
        };
        let all = |line: Line| {
            let mut found: Vec<Writer> = Vec::new();
            while let Some(next) = line.next(&live, found.last().copied()) {
                found.push(next);
            }
            let newer: Vec<bool> = found.iter().map(|w| line.goes_on(&live, *w)).collect();
            assert_eq!(newer.iter().filter(|newer| !**newer).count(), 1);
            found.iter().map(Writer::to_string).collect::<Vec<_>>()
        };
        assert_eq!(all(Line::Source), ["1", "2"]);
        assert_eq!(all(Line::Rung("720p".into())), ["1.1", "1.2", "2.1"]);
        let last = Writer { generation: Generation(2), job: Some(Job(1)) };
        assert!(Line::Source.is_past(&LiveSession { over: true, ..live }, last));
    }
}

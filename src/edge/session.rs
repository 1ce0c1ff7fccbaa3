//! A watched session: its renditions once its constants are known, and who still wants it.

use crate::base::ids::{Channel, Session as Number};
use crate::base::time::Mono;
use crate::edge::rendition::Rendition;
use crate::hls::multivariant;
use crate::hls::playlist::Report;
use crate::media::timeline::mark::SessionRecord;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// A session whose constants are known.
#[derive(Debug)]
pub struct Opened {
    /// The constants.
    pub record: Arc<SessionRecord>,
    /// The multivariant playlist.
    pub multivariant: Bytes,
    /// Its renditions, video first.
    pub renditions: Vec<Arc<Rendition>>,
}

impl Opened {
    /// Makes the renditions of a session.
    pub fn new(record: SessionRecord) -> Opened {
        let record = Arc::new(record);
        let multivariant = multivariant::render(&record).into();
        let renditions = record
            .renditions
            .iter()
            .map(|r| Arc::new(Rendition::new(&record, &r.name, r.track)))
            .collect();
        Opened { record, multivariant, renditions }
    }

    /// The rendition of this name.
    pub fn rendition(&self, name: &str) -> Option<&Arc<Rendition>> {
        self.renditions.iter().find(|r| r.name == name)
    }

    /// Renders a new version of every rendition that changed, each with the others' positions at
    /// this moment. The others keep theirs, and who waits for them sleeps on: a version's reports
    /// are as new as the version.
    pub fn publish(&self) {
        let all = self.renditions.iter().any(|r| r.is_new());
        for r in self.renditions.iter().filter(|r| all || r.is_due()) {
            let others: Vec<_> =
                self.renditions.iter().filter(|o| o.track != r.track).map(|o| o.read()).collect();
            let reports: Vec<Report<'_>> =
                others.iter().filter_map(|shelf| Report::of(&shelf.window)).collect();
            r.publish(&reports);
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
    last_used: AtomicU64,
    /// The feed is asked to publish though no mark came (a viewer wants the DVR playlist).
    pub nudge: Notify,
}

impl Session {
    /// A session nothing is known of.
    pub fn new(channel: Channel, number: Number, now: Mono) -> Session {
        Session {
            channel,
            number,
            opened: watch::Sender::new(None),
            last_used: AtomicU64::new(now.0),
            nudge: Notify::new(),
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

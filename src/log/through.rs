//! One reader through which others read, so that a node has few that read from it. It is somebody
//! else's to say which; one that can't be reached is left at once.

use crate::base::time::Mono;
use crate::log::error::LogError;
use crate::log::remote::{Bearer, Options, Remote};
use crate::rt::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a reader that could not be reached is not tried again: longer than it takes to be told
/// another, and about as long as a restart.
const AVOID: Duration = Duration::from_secs(15);

/// A reader that says nothing for so long is left: it speaks every second, and there are others to
/// read from.
const SILENCE: Duration = Duration::from_millis(2_500);

/// ... and one that does not begin to answer within so long, though it may have to ask another.
const BEGIN: Duration = Duration::from_secs(3);

/// The way to the logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    told: Option<String>,
    avoided: Option<(String, Mono)>,
}

impl Way {
    fn url(&self) -> Option<&String> {
        let avoided = self.avoided.as_ref().map(|(url, _)| url);
        self.told.as_ref().filter(|url| Some(*url) != avoided)
    }
}

/// Says through whom logs are read. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Through(Arc<watch::Sender<Way>>);

impl Through {
    /// The reader's internal listener; `None`: every log is read from the node that has it.
    pub fn url(&self) -> Option<String> {
        self.0.borrow().url().cloned()
    }

    /// Who could not be reached a moment ago.
    pub fn avoided(&self) -> Option<String> {
        self.0.borrow().avoided.as_ref().map(|(url, _)| url.clone())
    }

    /// What is told to be the reader.
    pub fn tell(&self, url: Option<String>, now: Mono) {
        self.change(|way| {
            way.told = url;
            way.avoided.take_if(|(_, since)| now.since(*since) > AVOID);
        });
    }

    fn avoid(&self, url: &str, now: Mono) {
        self.change(|way| way.avoided = Some((url.to_owned(), now)));
    }

    /// Wakes those who read only when they are to read somewhere else.
    fn change(&self, change: impl FnOnce(&mut Way)) {
        self.0.send_if_modified(|way| {
            let before = way.url().cloned();
            change(way);
            before.as_ref() != way.url()
        });
    }

    pub(super) fn way(&self) -> watch::Receiver<Way> {
        self.0.subscribe()
    }

    /// The logs that the reader has, which is left when it can't be reached.
    pub(super) fn remote(
        &self,
        url: &str,
        options: Options,
        clock: Clock,
        bearer: Bearer,
    ) -> Result<Remote, LogError> {
        let (silence, begin) = (SILENCE.min(options.silence), BEGIN.min(options.begin));
        let options = Options { silence, begin, ..options };
        let (through, of, now) = (self.clone(), url.to_owned(), clock.clone());
        let lost = move |why: &LogError| {
            if through.url().as_ref() == Some(&of) {
                tracing::warn!(url = of, "logs are read from their own nodes: {why}");
            }
            through.avoid(&of, now.now().mono);
        };
        Remote::told(url, options, clock, bearer, Arc::new(lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_not_be_reached_is_left_until_somebody_else_is_told_or_time_has_passed() {
        let through = Through::default();
        let mut way = through.way();
        let told = |url: &str, second: u64| {
            through.tell(Some(url.to_owned()), Mono(second * 1_000_000));
            through.url()
        };
        assert_eq!(through.url(), None);
        assert_eq!(told("a", 1).as_deref(), Some("a"));
        assert!(way.has_changed().expect("it is there"));
        way.mark_unchanged();
        assert_eq!(told("a", 2).as_deref(), Some("a"));
        assert!(!way.has_changed().expect("it is there"), "nothing new");
        through.avoid("a", Mono(3_000_000));
        assert!(way.has_changed().expect("it is there"));
        assert_eq!((through.url(), through.avoided()), (None, Some("a".into())));
        assert_eq!(told("a", 4), None, "the registry has not heard of it");
        assert_eq!(told("b", 5).as_deref(), Some("b"));
        assert_eq!(told("a", 18), None);
        assert_eq!(told("a", 19).as_deref(), Some("a"));
        assert_eq!(through.avoided(), None);
        through.tell(None, Mono(20_000_000));
        assert_eq!(through.url(), None);
    }
}

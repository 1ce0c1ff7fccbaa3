//! Ends of the generations that are written here, from the moment they are decided: who goes on
//! after one is told of it by this origin itself, whether or not the registry can be reached from
//! here, and before the log is sealed.

use crate::api::types::End;
use crate::base::ids::{Channel, Generation};
use std::collections::HashMap;
use tokio::sync::watch;

/// The newest decided end of each channel that was written here.
#[derive(Debug, Default)]
pub struct Decided(watch::Sender<HashMap<Channel, Known>>);

#[derive(Debug)]
struct Known {
    generation: Generation,
    end: End,
    /// Somebody was told: it is the generation's end, whatever the registry says of a later word.
    given: bool,
}

impl Decided {
    /// A generation ends here.
    pub fn note(&self, channel: &Channel, generation: Generation, end: End) {
        let known = Known { generation, end, given: false };
        self.0.send_modify(|all| drop(all.insert(channel.clone(), known)));
    }

    /// Where it ended, for somebody who goes on after it; `None`: that was not decided here.
    pub fn give(&self, channel: &Channel, generation: Generation) -> Option<End> {
        let mut given = None;
        self.0.send_if_modified(|all| {
            if let Some(known) = all.get_mut(channel).filter(|k| k.generation == generation) {
                known.given = true;
                given = Some(known.end.clone());
            }
            false
        });
        given
    }

    /// Waits until it is decided where it ended.
    pub async fn given(&self, channel: &Channel, generation: Generation) -> End {
        let mut changed = self.0.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(end) = self.give(channel, generation) {
                return end;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Was somebody told of it?
    pub fn is_given(&self, channel: &Channel, generation: Generation) -> bool {
        let all = self.0.borrow();
        all.get(channel).is_some_and(|k| k.generation == generation && k.given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn end(msn: u64) -> End {
        End { msn, dseq: 0, wall: 0, tracks: Vec::new(), session_over: false }
    }

    #[tokio::test]
    async fn who_waits_for_an_end_is_told_when_it_is_decided() {
        let decided = Arc::new(Decided::default());
        let main: Channel = "main".parse().expect("a channel name");
        let (of, channel) = (Arc::clone(&decided), main.clone());
        let waiting =
            crate::rt::task::spawn("asks", async move { of.given(&channel, Generation(2)).await });
        decided.note(&main, Generation(1), end(1000));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "another generation's");
        decided.note(&main, Generation(2), end(1010));
        let told = waiting.await.expect("not aborted").expect("no panic");
        assert_eq!(told.msn, 1010);
        assert!(decided.is_given(&main, Generation(2)));
        assert!(
            !decided.is_given(&main, Generation(1)) && decided.give(&main, Generation(1)).is_none()
        );
    }
}

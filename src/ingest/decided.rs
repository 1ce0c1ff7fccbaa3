//! Where the generations ended that were written here. Who goes on after one is told of it by this
//! origin itself, whether or not the registry can be reached from here: an end that somebody asks
//! for is settled at once, and given when its log holds all of it.

use crate::api::types::End;
use crate::base::ids::{Channel, Generation};
use std::collections::HashMap;
use tokio::sync::watch;

/// Of each channel that was written here, the newest generation that was asked for or ended.
#[derive(Debug, Default)]
pub struct Decided(watch::Sender<HashMap<Channel, Known>>);

#[derive(Debug)]
struct Known {
    generation: Generation,
    /// How many ask at the moment.
    asking: u32,
    end: Option<End>,
}

/// See [`Decided::ask`].
#[derive(Debug)]
pub struct Asking<'a> {
    decided: &'a Decided,
    channel: &'a Channel,
    generation: Generation,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.decided.change(self.channel, self.generation, |known| {
            known.asking = known.asking.saturating_sub(1);
        });
    }
}

impl Decided {
    fn change(&self, channel: &Channel, generation: Generation, f: impl FnOnce(&mut Known)) {
        self.0.send_modify(|all| {
            let new = || Known { generation, asking: 0, end: None };
            let known = all.entry(channel.clone()).or_insert_with(new);
            if known.generation < generation {
                *known = new();
            }
            if known.generation == generation {
                f(known);
            }
        });
    }

    /// Somebody is to go on after this generation, and asks for as long as the answer lives.
    pub fn ask<'a>(&'a self, channel: &'a Channel, generation: Generation) -> Asking<'a> {
        self.change(channel, generation, |known| known.asking += 1);
        Asking { decided: self, channel, generation }
    }

    /// Waits until somebody asks for the end of this generation.
    pub async fn asked(&self, channel: &Channel, generation: Generation) {
        self.until(channel, generation, |known| (known.asking > 0).then_some(())).await;
    }

    /// It ended there, and its log holds all of it.
    pub fn settle(&self, channel: &Channel, generation: Generation, end: End) {
        self.change(channel, generation, |known| known.end = Some(end));
    }

    /// Waits until it is settled where it ended.
    pub async fn end(&self, channel: &Channel, generation: Generation) -> End {
        self.until(channel, generation, |known| known.end.clone()).await
    }

    async fn until<T>(
        &self,
        channel: &Channel,
        generation: Generation,
        what: impl Fn(&Known) -> Option<T>,
    ) -> T {
        let mut changes = self.0.subscribe();
        loop {
            let found = {
                let all = changes.borrow_and_update();
                all.get(channel).filter(|k| k.generation == generation).and_then(&what)
            };
            if let Some(found) = found {
                return found;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::task;
    use std::sync::Arc;

    fn end(msn: u64) -> End {
        End { msn, dseq: 0, wall: 0, tracks: Vec::new(), session_over: false }
    }

    #[tokio::test]
    async fn a_writer_hears_who_asks_and_who_asks_is_told_when_all_is_settled() {
        let decided = Arc::new(Decided::default());
        let main: Channel = "main".parse().expect("a channel name");
        let (writer, of) = (Arc::clone(&decided), main.clone());
        let asked = task::spawn("writer", async move { writer.asked(&of, Generation(2)).await });
        let (asks, of) = (Arc::clone(&decided), main.clone());
        let told = task::spawn("asks", async move { asks.end(&of, Generation(2)).await });
        decided.settle(&main, Generation(1), end(1000));
        let other = decided.ask(&main, Generation(1));
        drop(decided.ask(&main, Generation(2)));
        tokio::task::yield_now().await;
        assert!(!asked.is_finished() && !told.is_finished(), "another's, and nobody's");
        let asking = decided.ask(&main, Generation(2));
        asked.await.expect("not aborted").expect("no panic");
        decided.settle(&main, Generation(2), end(1010));
        assert_eq!(told.await.expect("not aborted").expect("no panic").msn, 1010);
        drop((asking, other));
        // What came before is news no more.
        decided.settle(&main, Generation(1), end(1001));
        assert_eq!(decided.end(&main, Generation(2)).await.msn, 1010);
    }
}

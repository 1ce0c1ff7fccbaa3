//! The writer's reports to the registry: sent without waiting, newest first when they pile up, and
//! what was acknowledged is what bounds the numbers a writer may use (TIMELINE section 6).

use crate::api::client::Client;
use crate::api::types::{Refusal, Report};
use crate::base::ids::{Channel, Generation, Msn};
use crate::base::time::{Mono, Now, Wall};
use crate::rt::clock::Clock;
use crate::rt::task;
use std::time::Duration;
use tokio::sync::watch;

/// How long a DISCONTINUITY is held for an answer before it becomes visible knowingly: one lease.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Pause before a report is tried again; twice as long each time.
const RETRY: Duration = Duration::from_millis(500);

/// Longest pause: gaps stand still for so long after the registry is back.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// How old the registry's word may be on whose the session is where gaps are written on it: what
/// the registry reckons with when it gives a session away (`control::registry::numbers`,
/// `FENCE_DELAY`).
const CURRENT: Duration = Duration::from_secs(1);

/// A segment that started.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// Its number.
    pub msn: Msn,
    /// Its discontinuity sequence number.
    pub dseq: u64,
    /// Its date.
    pub wall: Wall,
}

/// What the registry has confirmed.
#[derive(Debug, Clone, Copy)]
pub struct Acked {
    /// The newest confirmed MSN.
    pub msn: Msn,
    /// When its confirmation arrived.
    pub at: Mono,
    /// When it was asked for.
    pub asked: Mono,
    /// A newer generation exists: stop.
    pub fenced: bool,
    /// The key was revoked: its publisher may send no more.
    pub revoked: bool,
}

/// Sends reports of one generation in the background; ends with its owner.
#[derive(Debug)]
pub struct Reports {
    newest: watch::Sender<Option<Started>>,
    acked: watch::Receiver<Acked>,
    clock: Clock,
}

impl Reports {
    /// Starts with what the grant confirms: everything before its base.
    pub fn start(
        client: Client,
        channel: Channel,
        generation: Generation,
        base: Msn,
        clock: Clock,
    ) -> Reports {
        let (newest, mut wanted) = watch::channel(None::<Started>);
        let at = clock.now().mono;
        let msn = Msn(base.0.saturating_sub(1));
        let first = Acked { msn, at, asked: at, fenced: false, revoked: false };
        let (ack, acked) = watch::channel(first);
        let name = format!("reports {channel}");
        let of_task = clock.clone();
        task::spawn(name, async move {
            let mut pause = RETRY;
            while wanted.changed().await.is_ok() {
                let Some(started) = *wanted.borrow_and_update() else { continue };
                let Started { msn, dseq, wall } = started;
                let report = Report { msn, dseq, wall, acked: ack.borrow().msn };
                let asked = of_task.now().mono;
                match client.report(&channel, generation, report).await {
                    // Also of a revoked key: the report was taken.
                    taken @ (Ok(()) | Err(Refusal::KeyRevoked)) => {
                        pause = RETRY;
                        let (at, revoked) = (of_task.now().mono, taken.is_err());
                        ack.send_replace(Acked { msn, at, asked, fenced: false, revoked });
                    }
                    Err(Refusal::Fenced(_)) => {
                        ack.send_modify(|a| a.fenced = true);
                        return;
                    }
                    Err(e) => {
                        tracing::warn!(%channel, "report not taken, trying again: {e}");
                        let again = of_task.now().mono.plus(pause);
                        of_task.sleep_until(again).await;
                        pause = (pause * 2).min(RETRY_MAX);
                        wanted.mark_changed();
                    }
                }
            }
        });
        Reports { newest, acked, clock }
    }

    /// Queues a report of a segment's start; a newer one replaces it.
    pub fn send(&self, started: Started) {
        self.newest.send_replace(Some(started));
    }

    /// Has a newer generation been granted?
    pub fn fenced(&self) -> bool {
        self.acked.borrow().fenced
    }

    /// Was the publisher's key revoked?
    pub fn revoked(&self) -> bool {
        self.acked.borrow().revoked
    }

    /// May the writer use `msn` now? `MSN <= acked + elapsed / min_segment + 1`, so that the
    /// registry can compute a base that no writer has passed.
    pub fn allows(&self, now: Now, msn: Msn, min_segment: Duration) -> bool {
        let acked = *self.acked.borrow();
        let elapsed = now.mono.since(acked.at).as_micros() / min_segment.as_micros().max(1);
        u128::from(msn.0) <= u128::from(acked.msn.0) + elapsed + 1
    }

    /// Waits until `msn` may be used.
    pub async fn wait_allowed(&mut self, msn: Msn, min_segment: Duration) {
        while !self.fenced() && !self.allows(self.clock.now(), msn, min_segment) {
            let due = self.acked.borrow().at;
            let steps =
                self.clock.now().mono.since(due).as_micros() / min_segment.as_micros().max(1);
            let next = due.plus(min_segment * u32::try_from(steps + 1).unwrap_or(u32::MAX));
            let clock = self.clock.clone();
            tokio::select! {
                changed = self.acked.changed() => if changed.is_err() { return },
                () = clock.sleep_until(next) => {}
            }
        }
    }

    /// Waits until `msn`'s report is answered; gives up after one lease.
    pub async fn wait_acked(&mut self, msn: Msn) {
        self.wait_answer(|a| a.msn >= msn).await;
    }

    /// Does the registry's newest word that this generation writes still hold? It is asked again in
    /// time.
    pub fn is_current(&self, now: Mono) -> bool {
        let acked = *self.acked.borrow();
        let age = now.since(acked.asked);
        if age >= CURRENT / 2 {
            // Where nothing was shown yet, what the grant confirms says nothing new either.
            let nothing = Started { msn: acked.msn, dseq: 0, wall: Wall(0) };
            self.newest.send_modify(|newest| *newest = Some(newest.unwrap_or(nothing)));
        }
        age < CURRENT
    }

    /// Asks once more whether this generation still writes; gives up after one lease. What was
    /// answered to a question of before counts for nothing. Nothing to ask where nothing was shown.
    pub async fn confirm(&mut self) {
        let now = self.clock.now().mono;
        if self.newest.borrow().is_some() {
            self.newest.send_modify(|_| {});
            self.wait_answer(|a| a.asked >= now).await;
        }
    }

    async fn wait_answer(&mut self, enough: impl Fn(&Acked) -> bool) {
        let limit = self.clock.now().mono.plus(ANSWER_MAX);
        let clock = self.clock.clone();
        let answered = self.acked.wait_for(|a| enough(a) || a.fenced);
        tokio::select! {
            _ = answered => {}
            () = clock.sleep_until(limit) => {
                tracing::warn!("no answer from the registry: going on without it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client;

    /// A writer that stood still does not take an answer of before for one of now.
    #[tokio::test(start_paused = true)]
    async fn only_an_answer_to_a_new_question_confirms() {
        let (client, _calls, _) = client::embedded();
        let clock = Clock::starting_at(Wall(0));
        let (channel, base) = ("main".parse().expect("a channel name"), Msn(1000));
        let mut r = Reports::start(client, channel, Generation(2), base, clock.clone());
        let begun = clock.now().mono;
        r.confirm().await;
        assert_eq!(clock.now().mono, begun, "nothing was shown");
        r.send(Started { msn: base, dseq: 0, wall: Wall(0) });
        clock.sleep_until(begun.plus(Duration::from_secs(1))).await;
        let begun = clock.now().mono;
        r.confirm().await;
        assert!(clock.now().mono.since(begun) >= ANSWER_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_word_of_a_grant_holds_for_a_moment_and_is_asked_for_again() {
        let (client, _calls, _) = client::embedded();
        let clock = Clock::starting_at(Wall(0));
        let (channel, base) = ("main".parse().expect("a channel name"), Msn(1000));
        let r = Reports::start(client, channel, Generation(2), base, clock.clone());
        let begun = clock.now().mono;
        assert!(r.is_current(begun));
        assert!(r.newest.borrow().is_none(), "it is new");
        let half = begun.plus(CURRENT / 2);
        clock.sleep_until(half).await;
        assert!(r.is_current(half));
        assert_eq!(r.newest.borrow().map(|asked| asked.msn), Some(Msn(999)));
        // Nobody answers.
        assert!(!r.is_current(begun.plus(CURRENT)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_generations_first_number_waits_for_its_answer_too() {
        // The calls are kept, and nobody answers them.
        let (client, _calls, _) = client::embedded();
        let clock = Clock::starting_at(Wall(0));
        let (channel, base) = ("main".parse().expect("a channel name"), Msn(1000));
        let second = Duration::from_secs(1);
        let mut r = Reports::start(client, channel, Generation(2), base, clock.clone());
        // The registry takes base - 1 for the last number, and base + 1 for the first it may give
        // to another writer at once.
        assert!(r.allows(clock.now(), base, second));
        assert!(!r.allows(clock.now(), base.next(), second));
        let begun = clock.now().mono;
        r.wait_acked(base).await;
        assert!(clock.now().mono.since(begun) >= ANSWER_MAX);
    }
}

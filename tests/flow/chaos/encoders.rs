//! Encoders that connect again whenever they are cut off, one a channel, and what the servers
//! acknowledged of what each sent.
//!
//! A packet counts as acknowledged when the server has acknowledged its bytes, and bytes that came
//! [`GOOD`] later too: by then it has handed to its log what it had read before (it writes within
//! 100 ms, and does not read on while it waits for the disk).

use crate::clip::{self, Unit};
use crate::encoder::Encoder;
use castctl::base::ids::TrackId;
use castctl::base::time::Mono;
use castctl::media::flv::file::{Tag, TagKind};
use castctl::rt::clock::Clock;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// See the module.
const GOOD: Duration = Duration::from_millis(500);

/// Bytes between acknowledgements: a fifth of a second of the clip.
const WINDOW: u32 = 8 << 10;

/// Pause before an encoder connects again.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// An encoder whose server takes or acknowledges nothing for so long gives the connection up.
const SILENCE: Duration = Duration::from_secs(5);

/// What a connection's times begin with is so much less than what those of the one before did: they
/// step back, as those of encoders do that count from their start.
const STEP: u32 = 1 << 20;

/// A packet as it lies in a log: its track and its time.
pub(crate) type Id = (TrackId, i64);

/// What became of one channel's encoder.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Packets that were sent.
    pub(crate) sent: u64,
    /// Those that were acknowledged.
    pub(crate) acknowledged: Vec<Id>,
    /// When it was off the air: from, to.
    pub(crate) outages: Vec<(Mono, Mono)>,
    pub(crate) connections: u32,
    /// Why publishes were refused or ended.
    pub(crate) words: Vec<String>,
}

/// A record that others may look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Record>>);

impl Shared {
    pub(crate) fn get(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where and what one encoder publishes.
pub(crate) struct Publish {
    pub(crate) rtmp: SocketAddr,
    pub(crate) key: String,
    pub(crate) tags: Arc<Vec<Tag>>,
    /// Its times go on over connections; else they step back with each.
    pub(crate) goes_on: bool,
    pub(crate) clock: Clock,
}

/// Why a connection is over.
enum Over {
    /// The test ends.
    Told,
    Lost(String),
}

/// What is under way on one connection.
#[derive(Default)]
struct UnderWay {
    /// Where each packet ends in the bytes sent.
    packets: VecDeque<(u64, Id)>,
    /// Acknowledgements as they came, until they are [`GOOD`] old.
    told: VecDeque<(Mono, u64)>,
}

impl UnderWay {
    /// The server's newest word; what is good by it.
    fn hear(&mut self, now: Mono, acknowledged: u64) -> Vec<Id> {
        if self.told.back().is_some_and(|(_, bytes)| *bytes == acknowledged) {
            return Vec::new();
        }
        let old = |(at, _): &&(Mono, u64)| now.since(*at) >= GOOD;
        let known = self.told.iter().filter(old).map(|(_, bytes)| *bytes).max();
        self.told.push_back((now, acknowledged));
        let Some(known) = known else { return Vec::new() };
        self.told.retain(|(_, bytes)| *bytes >= known);
        let count = self.packets.iter().take_while(|(end, _)| *end <= known).count();
        self.packets.drain(..count).map(|(_, id)| id).collect()
    }

    fn heard(&self) -> Option<Mono> {
        self.told.back().map(|(at, _)| *at)
    }
}

/// Publishes until it is told to stop.
pub(crate) async fn publish(of: Publish, record: Shared, mut stop: watch::Receiver<bool>) {
    let mut lost: Option<Mono> = None;
    for number in 0.. {
        let begun = of.clock.now().mono;
        let connected = tokio::time::timeout(SILENCE, Encoder::connect(of.rtmp, &of.key)).await;
        let why = match connected {
            Ok(Ok(encoder)) => {
                let now = of.clock.now().mono;
                record.get().connections += 1;
                if let Some(from) = lost.take() {
                    record.get().outages.push((from, now));
                }
                let over = of.send(encoder, number, &record, &mut stop).await;
                lost = Some(of.clock.now().mono);
                match over {
                    Over::Told => return,
                    Over::Lost(why) => why,
                }
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => "no answer".into(),
        };
        record.get().words.push(format!("{:.1} s: {why}", begun.0 as f64 / 1e6));
        let again = of.clock.now().mono.plus(RETRY);
        tokio::select! {
            () = of.clock.sleep_until(again) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

impl Publish {
    /// What is added to the clip's times on the connection of this number.
    fn base(&self, number: u32) -> u32 {
        let elapsed = u32::try_from(self.clock.now().mono.0 / 1_000).expect("a short test");
        if self.goes_on { elapsed } else { (1_000 - number) * STEP }
    }

    /// Sends in real time until the connection or the test is over.
    async fn send(
        &self,
        mut encoder: Encoder,
        number: u32,
        record: &Shared,
        stop: &mut watch::Receiver<bool>,
    ) -> Over {
        encoder.ask_acknowledgements(WINDOW).await;
        let (begun, base) = (self.clock.now().mono, self.base(number));
        let mut under_way = UnderWay::default();
        for tag in self.tags.iter() {
            let due = begun.plus(Duration::from_millis(tag.timestamp.into()));
            tokio::select! {
                () = self.clock.sleep_until(due) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            let sent = encoder.send(tag, base + tag.timestamp);
            let why = match tokio::time::timeout(SILENCE, sent).await {
                Ok(Ok(())) => None,
                Ok(Err(e)) => Some(e.to_string()),
                Err(_) => Some("the server takes nothing".into()),
            };
            let (now, (sent, acknowledged)) = (self.clock.now().mono, encoder.acknowledged());
            if let Some(id) = id(tag, base) {
                under_way.packets.push_back((sent, id));
                record.get().sent += 1;
            }
            let good = under_way.hear(now, acknowledged);
            record.get().acknowledged.extend(good);
            if let Some(why) = why {
                return Over::Lost(why);
            }
            if now.since(under_way.heard().unwrap_or(begun)) > SILENCE {
                return Over::Lost("the server acknowledges nothing".into());
            }
        }
        // All that was sent and is read before the goodbye is good.
        let finished = tokio::time::timeout(SILENCE, encoder.finished()).await;
        if finished.is_ok() {
            record.get().acknowledged.extend(under_way.packets.into_iter().map(|(_, id)| id));
        }
        Over::Told
    }
}

/// A tag's packet; configurations and script data are none.
fn id(tag: &Tag, base: u32) -> Option<Id> {
    let track = match tag.kind {
        TagKind::Video => TrackId::VIDEO,
        TagKind::Audio => TrackId::AUDIO,
        TagKind::Script => return None,
    };
    (tag.body.get(1) != Some(&0)).then_some((track, i64::from(base + tag.timestamp)))
}

/// The clip, for so long.
pub(crate) fn tags(time: Duration) -> Arc<Vec<Tag>> {
    let seconds = u32::try_from(time.as_secs()).expect("a short test");
    let tags = clip::looped(&clip::bbb(), seconds);
    // What a packet is recorded as is what its tag says.
    let first: Vec<Unit> = clip::units(&tags[..20]);
    let ids: Vec<Id> = tags[..20].iter().filter_map(|t| id(t, 0)).collect();
    assert!(first.iter().all(|u| ids.contains(&(u.track, u.dts))), "{ids:?}");
    Arc::new(tags)
}

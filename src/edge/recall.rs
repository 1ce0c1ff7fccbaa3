//! Media that has left a rendition's memory: read back from its log once for all who ask at the
//! time, on this node's disk or another's, and kept for a while in case more do (an audience that
//! rewinds does it together).

use crate::base::ids::{Msn, Seq};
use crate::log::error::LogError;
use crate::log::format::Span;
use crate::log::id::LogId;
use bytes::Bytes;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;

/// Bytes kept in all: about a minute of a hundred renditions of 1 Mbit/s, or twenty of 5.
const KEPT: u64 = 128 << 20;

/// How long media is kept after it was last asked for: longer than the pause between a viewer's
/// requests, no longer than an audience takes to rewind.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Which media: what a rendition's segment consisted of when it was asked for. One that is still
/// written has more of it later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// In which log.
    pub log: LogId,
    /// The rendition's name: a source's log has two.
    pub rendition: Arc<str>,
    /// Its number.
    pub msn: Msn,
    /// Where the log has it.
    pub span: Span,
}

/// Why media cannot be had. Cheap to clone: all who asked get the same.
#[derive(Debug, Clone)]
pub enum Lost {
    /// Its samples are not in the log: it is damaged there.
    Missing,
    /// The log cannot be read now.
    Log(LogError),
}

/// A segment's parts by their first samples.
pub type Parts = Arc<[(Seq, Bytes)]>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Recall {
    kept: Cache<Key, Parts>,
}

impl Default for Recall {
    fn default() -> Recall {
        let kept = Cache::builder()
            .max_capacity(KEPT)
            .weigher(|_, parts: &Parts| {
                let bytes: usize = parts.iter().map(|(_, b)| b.len()).sum();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .time_to_idle(KEPT_FOR)
            .build();
        Recall { kept }
    }
}

impl Recall {
    /// The media of `key`, by `read` where it is not kept and nobody reads it already.
    pub async fn get(
        &self,
        key: Key,
        read: impl Future<Output = Result<Vec<(Seq, Bytes)>, Lost>>,
    ) -> Result<Parts, Lost> {
        let read = async { read.await.map(Arc::from) };
        self.kept.try_get_with(key, read).await.map_err(|lost| Lost::clone(&lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::format::Position;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Barrier;

    fn span(end: u64) -> Span {
        let end = Position { extent: 0, offset: end };
        Span { start: Position::default(), end }
    }

    fn key(msn: u64) -> Key {
        Key {
            log: "main/s1/g1".parse().expect("a log"),
            rendition: "video".into(),
            msn: Msn(msn),
            span: span(4_096),
        }
    }

    #[tokio::test]
    async fn who_asks_at_one_time_shares_one_reading_and_its_bytes() {
        let (recall, reads) = (Recall::default(), Arc::new(AtomicUsize::new(0)));
        let all = Arc::new(Barrier::new(8));
        let mut asked = Vec::new();
        for _ in 0..8 {
            let (recall, reads, all) = (recall.clone(), Arc::clone(&reads), Arc::clone(&all));
            asked.push(crate::rt::task::spawn("viewer", async move {
                all.wait().await;
                let read = async {
                    reads.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok(vec![(Seq(0), Bytes::from_static(b"media"))])
                };
                recall.get(key(0), read).await.expect("read")[0].1.as_ptr() as usize
            }));
        }
        let mut places = Vec::new();
        for one in asked {
            places.push(one.await.expect("not aborted").expect("no panic"));
        }
        places.dedup();
        assert_eq!((places.len(), reads.load(Ordering::Relaxed)), (1, 1));
    }

    #[tokio::test]
    async fn a_segment_that_has_grown_is_read_again() {
        let recall = Recall::default();
        let part = |n| (Seq(n), Bytes::from_static(b"part"));
        let first = recall.get(key(0), async { Ok(vec![part(0)]) }).await.expect("read");
        let grown = Key { span: span(8_192), ..key(0) };
        let both = async { Ok(vec![part(0), part(5)]) };
        assert_eq!((first.len(), recall.get(grown, both).await.expect("read").len()), (1, 2));
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_tried_again() {
        let recall = Recall::default();
        let lost = recall.get(key(0), async { Err(Lost::Missing) }).await;
        assert!(matches!(lost, Err(Lost::Missing)));
        let read = async { Ok(vec![(Seq(0), Bytes::from_static(b"x"))]) };
        assert_eq!(recall.get(key(0), read).await.expect("read").len(), 1);
        let other = async { Ok(vec![(Seq(0), Bytes::new()), (Seq(9), Bytes::new())]) };
        assert_eq!(recall.get(key(10), other).await.expect("read").len(), 2);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_in_bytes() {
        let recall = Recall::default();
        let piece = Bytes::from(vec![0; 4 << 20]);
        for n in 0..64 {
            let piece = piece.clone();
            recall.get(key(n), async { Ok(vec![(Seq(0), piece)]) }).await.expect("read");
        }
        recall.kept.run_pending_tasks().await;
        assert!(recall.kept.weighted_size() <= KEPT, "{}", recall.kept.weighted_size());
    }
}

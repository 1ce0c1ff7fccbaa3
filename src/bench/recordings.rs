//! Recordings that are made up, for what is done with them, and a bucket that is to have them.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::random::Random;
use crate::base::time::{MICROS, Wall};
use crate::bench::error::BenchError;
use crate::bench::server::TempDir;
use crate::log::dir::{LogDir, all_of};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::Options;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{End, GenerationStart, Mark};
use crate::store::error::StoreError;
use crate::store::port::Store;
use crate::store::sum::{Sum, Summer};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Read back at a time.
const READ: u64 = 8 << 20;

/// What packets are cut from; nothing in it repeats within one.
const POOL: usize = 4 << 20;

/// Pictures a second, and from one key frame to the next. So a minute's extent has 18 MB.
const PICTURES: u64 = 25;

/// Bytes of a packet: a picture at 2.4 Mbit/s.
const PICTURE: usize = 12_000;

/// Logs that are made: more than are brought at a time, so that the last ones overlap too.
const LOGS: u64 = 8;

/// Recordings that are there to be brought.
pub struct Made {
    /// A directory that goes with them.
    pub temp: TempDir,
    /// The data directory, in it.
    pub data: PathBuf,
    /// By the names that they have in a bucket: length and checksum.
    pub extents: BTreeMap<String, (u64, Sum)>,
}

fn id(n: u64) -> Result<LogId, BenchError> {
    let channel = format!("bench{n}").parse().expect("letters and digits are a channel's name");
    Ok(LogId { channel, session: Session(1), generation: Generation(1), rung: None })
}

/// Makes one log of so many bytes, sealed.
async fn one(logs: &Logs, n: u64, bytes: u64, pool: &Bytes) -> Result<(), BenchError> {
    let (id, base) = (id(n)?, Msn(1));
    let (session, generation) = (id.session, id.generation);
    let start = GenerationStart { session, generation, job: None, base, dseq: 0, previous: None };
    let mut writer = logs.create(&id, start).await?;
    let (mut random, mut written, mut packets) = (Random::new(n), 0, 0);
    while written < bytes {
        writer.roll_if_due((packets / PICTURES) as i64 * MICROS);
        for n in 0..PICTURES {
            let from = random.below((pool.len() - PICTURE) as u64) as usize;
            let payload = pool.slice(from..from + PICTURE);
            let (dts, track) = (packets as i64 * 40, TrackId::VIDEO);
            let packet = Packet { track, dts, cts: 0, key: n == 0, payload };
            writer.append_packet(&packet, Some(Seq(packets)))?;
            (packets, written) = (packets + 1, written + PICTURE as u64);
        }
        writer.flush();
        writer.ready().await?;
    }
    let (msn, wall, tracks) = (Msn(0), Wall(0), Vec::new());
    writer.append_mark(&Mark::End(End { msn, dseq: 0, wall, tracks, session_over: true }))?;
    writer.seal().await?;
    Ok(())
}

/// What a file has.
fn sum_of(path: &Path) -> Result<(u64, Sum), BenchError> {
    let bytes = std::fs::read(path).map_err(BenchError::io("read", path))?;
    Ok((bytes.len() as u64, Sum::of(&bytes)))
}

impl Made {
    /// Makes some, below a directory.
    ///
    /// # Errors
    /// The disk does not take it.
    pub async fn make(dir: &Path, bytes: u64) -> Result<Made, BenchError> {
        let temp = TempDir::new(dir)?;
        let data = temp.sub("data");
        let options = Options { low_space: 0, ..Options::default() };
        let logs = Logs::open(&data, options)?;
        let mut random = Random::new(1);
        let pool: Bytes = (0..POOL).map(|_| random.below(256) as u8).collect::<Vec<u8>>().into();
        for n in 0..LOGS {
            one(&logs, n, bytes / LOGS, &pool).await?;
        }
        let mut extents = BTreeMap::new();
        for id in all_of(&data)? {
            let dir = LogDir::open(&id.dir(&data))?;
            for path in dir.extents().iter().map(|n| dir.extent_path(*n)) {
                let name = path.strip_prefix(data.join("logs")).unwrap_or(&path);
                extents.insert(name.display().to_string(), sum_of(&path)?);
            }
        }
        Ok(Made { temp, data, extents })
    }

    /// Bytes of all extents.
    pub fn bytes(&self) -> u64 {
        self.extents.values().map(|(bytes, _)| bytes).sum()
    }

    /// Reads everything back and compares it; then it is taken away. How many extents that were.
    ///
    /// # Errors
    /// Something is not there, or is another one.
    pub async fn is_there(&self, store: &Store) -> Result<usize, BenchError> {
        let failed = |why: String| bucket(why);
        for (name, (bytes, sum)) in &self.extents {
            let (mut summer, mut at) = (Summer::default(), 0);
            while at < *bytes {
                let to = (*bytes).min(at + READ);
                let read = store.range(name, at..to).await;
                summer.take(&read.map_err(|e| failed(format!("does not give {e}")))?);
                at = to;
            }
            if summer.sum() != *sum {
                return Err(failed(format!("has other bytes of {}", store.url_of(name))));
            }
        }
        take_away(store).await?;
        Ok(self.extents.len())
    }
}

fn bucket(why: String) -> BenchError {
    BenchError::Server { name: "the bucket".to_owned(), why, said: String::new() }
}

/// Empties a prefix.
///
/// # Errors
/// The store does not do it.
pub async fn take_away(store: &Store) -> Result<(), BenchError> {
    let failed = |e: StoreError| bucket(format!("does not let go of {e}"));
    for entry in store.list("", None).await.map_err(failed)? {
        store.delete(&entry.key).await.map_err(failed)?;
    }
    Ok(())
}

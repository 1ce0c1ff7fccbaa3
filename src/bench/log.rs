//! How fast a log is written, read and recovered, beside what memory and disk of this machine allow
//! in the same run. In this process: no encoder, no network.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::Mono;
use crate::base::units::HumanBytes;
use crate::bench::error::BenchError;
use crate::bench::progress::Progress;
use crate::bench::server::TempDir;
use crate::log::dir::{LogDir, extent_files};
use crate::log::fs::Disk;
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::{Options, Sync};
use crate::log::subscription::From;
use crate::media::packet::Packet;
use crate::media::timeline::mark::GenerationStart;
use crate::rt::clock::Clock;
use bytes::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// A picture of 2.5 Mbit/s at 30 pictures a second.
const PICTURE: usize = 10_000;

/// A frame of sound at 128 kbit/s and 48 kHz; three come with two pictures, as 30 pictures and 47
/// frames a second do.
const SOUND: usize = 341;

/// Rounds of the plain file: it is a limit, so the best counts.
const DISK_ROUNDS: u32 = 3;

/// Copied at once for memory's own speed: more than any cache.
const MEMORY: usize = 256 << 20;

/// What writing came to: sizes, and seconds.
#[derive(Debug, Default)]
struct Written {
    bytes: u64,
    payload: u64,
    packets: u64,
    busy: f64,
    visible: f64,
    durable: f64,
}

/// What the raw disk is written and read with, as the log does.
const BLOCK: usize = 1 << 20;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Bytes of payload to write.
    pub bytes: u64,
}

/// What it came to. Rates are GB (10^9 bytes) a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Bytes of the log's files.
    pub bytes: u64,
    /// Packets in it.
    pub packets: u64,
    /// Bytes of the log beyond the packets' own, for each packet.
    pub overhead_per_packet: f64,
    /// Nanoseconds of the publisher's thread for each packet: encoding and checksum.
    pub append_ns_per_packet: f64,
    /// From the first packet until all is visible.
    pub append_gb_per_second: f64,
    /// ... and until all is durable.
    pub durable_gb_per_second: f64,
    /// Reading every record from a cached file.
    pub scan_gb_per_second: f64,
    /// Recovery of the same bytes, of which nothing says that they are durable, until the last
    /// footer is.
    pub recover_gb_per_second: f64,
    /// Copying as many bytes in memory.
    pub memory_gb_per_second: f64,
    /// Writing as many bytes to a plain file, until the last `write` returns.
    pub cached_write_gb_per_second: f64,
    /// ... and until it is synced.
    pub disk_write_gb_per_second: f64,
    /// Reading that file back from the cache.
    pub disk_read_gb_per_second: f64,
}

impl Plan {
    /// Measures in a directory of its own below `dir`.
    ///
    /// # Errors
    /// The disk or the log fails.
    pub async fn run(
        &self,
        dir: &Path,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<Figures, BenchError> {
        let temp = TempDir::new(dir)?;
        let data = temp.sub("log");
        std::fs::create_dir_all(&data).map_err(BenchError::io("create", &data))?;
        progress.say("memory and disk".to_owned());
        let bytes = Bytes::from((0..PICTURE).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>());
        let memory = self.memory(clock);
        // The best of several: the first pays for the cache's pages, any may meet write-back.
        let mut best = [0f64; 3];
        for _ in 0..DISK_ROUNDS {
            let round = self.disk(&data.join("plain"), clock)?;
            best = std::array::from_fn(|i| best[i].max(round[i]));
        }
        let [cached, disk_write, disk_read] = best;
        progress.second();
        progress.say("append".to_owned());
        let written = self.append(&data, &bytes, clock).await?;
        progress.second();
        progress.say("scan and recover".to_owned());
        let (scan, recover) = read(&data, clock).await?;
        progress.second();
        let (len, packets) = (written.bytes as f64, written.packets as f64);
        let gb = |rate: f64| rate / 1e9;
        Ok(Figures {
            bytes: written.bytes,
            packets: written.packets,
            overhead_per_packet: (written.bytes - written.payload) as f64 / packets,
            append_ns_per_packet: written.busy * 1e9 / packets,
            append_gb_per_second: gb(len / written.visible),
            durable_gb_per_second: gb(len / written.durable),
            scan_gb_per_second: gb(len / scan),
            recover_gb_per_second: gb(len / recover),
            memory_gb_per_second: gb(memory),
            cached_write_gb_per_second: gb(cached),
            disk_write_gb_per_second: gb(disk_write),
            disk_read_gb_per_second: gb(disk_read),
        })
    }

    /// Bytes a second of copying from memory to memory, beyond what caches hold.
    fn memory(&self, clock: &Clock) -> f64 {
        let (from, mut to) = (vec![7u8; MEMORY], vec![1u8; MEMORY]);
        let rounds = self.bytes.div_ceil(MEMORY as u64);
        let begun = clock.now().mono;
        for _ in 0..rounds {
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&to);
        }
        (rounds * MEMORY as u64) as f64 / since(clock, begun)
    }

    /// Writes the log and leaves it unsealed, as a writer that died.
    async fn append(
        &self,
        data: &Path,
        bytes: &Bytes,
        clock: &Clock,
    ) -> Result<Written, BenchError> {
        let logs = Logs::open(data, options())?;
        let (id, base) = (id(), Msn(1));
        let (session, generation) = (id.session, id.generation);
        let start =
            GenerationStart { session, generation, job: None, base, dseq: 0, previous: None };
        let mut writer = logs.create(&id, start).await?;
        let begun = clock.now().mono;
        let mut out = Written::default();
        while out.payload < self.bytes {
            // A second of media, then room: what is timed is the publisher's own work.
            let turn = clock.now().mono;
            for n in 0..78 {
                let (track, size) = match n % 5 {
                    0 | 2 => (TrackId::VIDEO, PICTURE),
                    _ => (TrackId::AUDIO, SOUND),
                };
                let (dts, payload) = (out.packets as i64, bytes.slice(..size));
                let packet = Packet { track, dts, cts: 0, key: true, payload };
                writer.append_packet(&packet, Some(Seq(out.packets)))?;
                (out.packets, out.payload) = (out.packets + 1, out.payload + size as u64);
            }
            writer.flush();
            out.busy += since(clock, turn);
            writer.ready().await?;
        }
        let end = writer.position();
        let mut newest = logs.subscribe(&id, From::Position(writer.visible()))?;
        while newest.position() < end {
            newest.next().await?;
        }
        out.visible = since(clock, begun);
        logs.sync_now().await;
        out.durable = since(clock, begun);
        out.bytes = size(&id.dir(data));
        Ok(out)
    }

    /// Bytes a second of a plain file: written, the same until it is synced, read again.
    fn disk(&self, path: &Path, clock: &Clock) -> Result<[f64; 3], BenchError> {
        let mut block = vec![7; BLOCK];
        let blocks = self.bytes.div_ceil(BLOCK as u64);
        let begun = clock.now().mono;
        let mut file = File::create(path).map_err(BenchError::io("create", path))?;
        for _ in 0..blocks {
            file.write_all(&block).map_err(BenchError::io("write", path))?;
        }
        let cached = (blocks * BLOCK as u64) as f64 / since(clock, begun);
        file.sync_data().map_err(BenchError::io("sync", path))?;
        let write = (blocks * BLOCK as u64) as f64 / since(clock, begun);
        let begun = clock.now().mono;
        let mut file = File::open(path).map_err(BenchError::io("open", path))?;
        while file.read(&mut block).map_err(BenchError::io("read", path))? > 0 {}
        let read = (blocks * BLOCK as u64) as f64 / since(clock, begun);
        std::fs::remove_file(path).map_err(BenchError::io("remove", path))?;
        Ok([cached, write, read])
    }
}

/// Bytes of the extents in a log's directory.
fn size(dir: &Path) -> u64 {
    let files = extent_files(&Disk, dir).unwrap_or_default();
    files.iter().filter_map(|(_, path)| path.metadata().ok()).map(|m| m.len()).sum()
}

/// Seconds since a moment; never zero.
fn since(clock: &Clock, begun: Mono) -> f64 {
    clock.now().mono.since(begun).as_secs_f64().max(1e-9)
}

/// Seconds of a scan and of a recovery of the log that was left.
async fn read(data: &Path, clock: &Clock) -> Result<(f64, f64), BenchError> {
    let begun = clock.now().mono;
    let mut records = 0;
    let mut all = LogDir::open(&id().dir(data))?.read_from(0);
    while let Some(batch) = all.next().await? {
        records += batch.records().count();
    }
    std::hint::black_box(records);
    let scan = since(clock, begun);
    let logs = Logs::open(data, options())?;
    let begun = clock.now().mono;
    logs.recover().await?;
    Ok((scan, since(clock, begun)))
}

/// Never synced, so that no extent vouches for another and recovery has all of them before it.
fn options() -> Options {
    Options { sync: Sync::Never, low_space: 0, ..Options::default() }
}

fn id() -> LogId {
    let channel = "bench".parse().expect("letters are a channel's name");
    LogId { channel, session: Session(1), generation: Generation(1), rung: None }
}

/// The figures for people.
pub fn table(f: &Figures) -> String {
    let mut out = Table::new();
    out.load_style(presets::NOTHING).set_header(["what", "GB/s", "limit", "of it"]);
    for column in out.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut row = |what: &str, rate: f64, limit: f64, of: &str| {
        let share = format!("{:.0} % of {of}", 100.0 * rate / limit);
        out.add_row([what.to_owned(), format!("{rate:.2}"), format!("{limit:.2}"), share]);
    };
    row("append, visible", f.append_gb_per_second, f.cached_write_gb_per_second, "a plain write");
    row("append, durable", f.durable_gb_per_second, f.disk_write_gb_per_second, "a synced file");
    row("scan", f.scan_gb_per_second, f.disk_read_gb_per_second, "a cached read");
    row("recover", f.recover_gb_per_second, f.disk_read_gb_per_second, "a cached read");
    format!(
        "{out}\n{} packets, {}: {:.0} ns a packet on the publisher's thread, {:.1} bytes of \
         overhead; memory copies {:.1} GB/s",
        f.packets,
        HumanBytes(f.bytes),
        f.append_ns_per_packet,
        f.overhead_per_packet,
        f.memory_gb_per_second
    )
}

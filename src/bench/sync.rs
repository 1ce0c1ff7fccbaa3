//! How late logs are durable when many are written at one time, by the log's own writer and sync
//! threads, and by `syncfs` in their place. In this process: what is measured is the disk.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::Mono;
use crate::bench::error::BenchError;
use crate::bench::proc;
use crate::bench::progress::Progress;
use crate::bench::server::TempDir;
use crate::bench::stats::{Summary, summary};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::{self, Options};
use crate::log::stats::SyncSample;
use crate::log::writer::Writer;
use crate::media::packet::Packet;
use crate::media::timeline::mark::GenerationStart;
use crate::rt::clock::Clock;
use bytes::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Writes of each log in a second: parts of 200 ms.
const WRITES: u64 = 5;

/// Who makes logs durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `fdatasync` of one log after another, by so many threads.
    Threads(usize),
    /// `syncfs` of the whole file system.
    Syncfs,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Method, String> {
        match (text, text.parse::<usize>()) {
            ("syncfs", _) => Ok(Method::Syncfs),
            (_, Ok(n @ 1..=256)) => Ok(Method::Threads(n)),
            _ => Err("write a number of threads, 1 to 256, or syncfs".into()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::Threads(n) => write!(f, "fdatasync x {n}"),
            Method::Syncfs => f.write_str("syncfs"),
        }
    }
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many logs are written.
    pub logs: u16,
    /// Who syncs them.
    pub method: Method,
    /// The interval that is aimed at.
    pub interval: Duration,
    /// What each log gets.
    pub bytes_per_second: u64,
    /// How long.
    pub seconds: u64,
}

/// What it came to.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// How many logs were written.
    pub logs: u16,
    /// Who synced them.
    pub method: String,
    /// Age of the oldest record when it became durable, milliseconds.
    pub age_ms: Option<Summary>,
    /// Age of the oldest record when it became durable, 99th percentile in milliseconds.
    pub age_p99_ms: f64,
    /// One call, milliseconds.
    pub call_ms: Option<Summary>,
    /// Calls in a second.
    pub calls_per_second: f64,
    /// CPU milliseconds of this process in a second, writing included.
    pub cpu_ms_per_second: f64,
}

/// What was written since the last `syncfs` began, log by log.
type Dirty = Arc<Mutex<Vec<Option<Mono>>>>;

impl Plan {
    /// Measures in a directory of its own below `dir`.
    pub async fn run(
        &self,
        dir: &Path,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<Row, BenchError> {
        progress.say(format!("{} logs, {}", self.logs, self.method));
        let temp = TempDir::new(dir)?;
        let data = temp.sub("sync");
        let (sync, sync_threads) = match self.method {
            Method::Threads(n) => (options::Sync::Interval(self.interval), n),
            Method::Syncfs => (options::Sync::Never, 1),
        };
        let options = Options { sync, sync_threads, low_space: 0, ..Options::default() };
        let logs = Logs::open(&data, options)?;
        let mut writers = Vec::new();
        for i in 0..self.logs {
            writers.push(create(&logs, i).await?);
        }
        let dirty: Dirty = Arc::new(Mutex::new(vec![None; writers.len()]));
        let stop = Arc::new(AtomicBool::new(false));
        let syncfs = (self.method == Method::Syncfs)
            .then(|| self.syncfs(&data, dirty.clone(), stop.clone(), clock.clone()))
            .transpose()?;
        self.write(&mut writers, &dirty, 1, clock, progress).await?;
        logs.take_sync_samples();
        let (used, begun) = (cpu()?, clock.now().mono);
        let mut samples = Vec::new();
        for second in 1..self.seconds.max(2) {
            self.write(&mut writers, &dirty, second, clock, progress).await?;
            samples.extend(logs.take_sync_samples());
        }
        let took = clock.now().mono.since(begun).as_secs_f64();
        let cpu = cpu()?.saturating_sub(used);
        stop.store(true, Ordering::Relaxed);
        if let Some(thread) = syncfs {
            samples = thread.join().map_err(|_| BenchError::io("sync", &data)(gone()))?;
        }
        for writer in writers {
            writer.seal().await?;
        }
        Ok(self.row(&samples, took, cpu))
    }

    fn row(&self, samples: &[SyncSample], seconds: f64, cpu: u64) -> Row {
        let micros = |f: fn(&SyncSample) -> Duration| -> Vec<u64> {
            samples.iter().map(|s| f(s).as_micros() as u64).collect()
        };
        let (mut ages, calls) = (micros(|s| s.age), micros(|s| s.took));
        ages.sort_unstable();
        let p99 = ages.get((ages.len() * 99).div_ceil(100).saturating_sub(1));
        // One syncfs gives a sample for every log.
        let each = if self.method == Method::Syncfs { usize::from(self.logs) } else { 1 };
        Row {
            logs: self.logs,
            method: self.method.to_string(),
            age_ms: summary(&ages),
            age_p99_ms: p99.map_or(0.0, |us| *us as f64 / 1000.0),
            call_ms: summary(&calls),
            calls_per_second: (calls.len() / each) as f64 / seconds,
            cpu_ms_per_second: cpu as f64 / seconds,
        }
    }

    /// A second of every log, spread over it.
    async fn write(
        &self,
        writers: &mut [Writer],
        dirty: &Dirty,
        second: u64,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<(), BenchError> {
        let begun = clock.now().mono;
        let payload = Bytes::from(vec![7; (self.bytes_per_second / WRITES).max(1) as usize]);
        let steps = WRITES * writers.len() as u64;
        for step in 0..steps {
            let due = Duration::from_micros(1_000_000 * step / steps);
            clock.sleep_until(begun.plus(due)).await;
            let i = (step % writers.len() as u64) as usize;
            let n = second * WRITES + step / writers.len() as u64;
            let (track, dts) = (TrackId::VIDEO, (n * 1000 / WRITES) as i64);
            let payload = payload.clone();
            let packet = Packet { track, dts, cts: 0, key: true, payload };
            writers[i].append_packet(&packet, Some(Seq(n)))?;
            writers[i].flush();
            let now = clock.now().mono;
            dirty.lock().unwrap_or_else(PoisonError::into_inner)[i].get_or_insert(now);
        }
        clock.sleep_until(begun.plus(Duration::from_secs(1))).await;
        progress.second();
        Ok(())
    }

    /// What the log's own threads do, with one call for all logs.
    fn syncfs(
        &self,
        data: &Path,
        dirty: Dirty,
        stop: Arc<AtomicBool>,
        clock: Clock,
    ) -> Result<std::thread::JoinHandle<Vec<SyncSample>>, BenchError> {
        let volume = File::open(data).map_err(BenchError::io("open", data))?;
        let (interval, path) = (self.interval, data.to_owned());
        let run = move || {
            let (mut samples, mut took) = (Vec::new(), Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(interval.saturating_sub(took.min(interval / 2)));
                let mut all = dirty.lock().unwrap_or_else(PoisonError::into_inner);
                let since: Vec<Mono> = all.iter_mut().filter_map(Option::take).collect();
                drop(all);
                let started = clock.now().mono;
                if rustix::fs::syncfs(&volume).is_err() {
                    return samples;
                }
                let ended = clock.now().mono;
                took = ended.since(started);
                samples.extend(since.iter().map(|s| SyncSample { took, age: ended.since(*s) }));
            }
            samples
        };
        let thread = std::thread::Builder::new().name("syncfs".into());
        thread.spawn(run).map_err(BenchError::io("start a thread for", path))
    }
}

fn gone() -> std::io::Error {
    std::io::Error::other("the thread has ended")
}

fn cpu() -> Result<u64, BenchError> {
    let used = proc::usage(std::process::id()).map_err(BenchError::io("read", "/proc"))?;
    Ok(used.cpu_ms())
}

async fn create(logs: &Logs, i: u16) -> Result<Writer, BenchError> {
    let channel = format!("c{i}").parse().expect("a letter and digits are a channel's name");
    let (session, generation) = (Session(1), Generation(1));
    let start =
        GenerationStart { session, generation, job: None, base: Msn(1), dseq: 0, previous: None };
    Ok(logs.create(&LogId { channel, session, generation, rung: None }, start).await?)
}

/// The rows for people.
pub fn table(rows: &[Row]) -> String {
    let mut out = Table::new();
    out.load_style(presets::NOTHING).set_header([
        "logs",
        "by",
        "durable p50",
        "p99",
        "max",
        "call p50",
        "p95",
        "calls/s",
        "CPU ms/s",
    ]);
    for column in out.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for r in rows {
        let ms = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.1} ms"));
        out.add_row([
            r.logs.to_string(),
            r.method.clone(),
            ms(r.age_ms.map(|s| s.median)),
            ms(r.age_ms.map(|_| r.age_p99_ms)),
            ms(r.age_ms.map(|s| s.max)),
            ms(r.call_ms.map(|s| s.median)),
            ms(r.call_ms.map(|s| s.p95)),
            format!("{:.0}", r.calls_per_second),
            format!("{:.0}", r.cpu_ms_per_second),
        ]);
    }
    format!("{out}\ndurable: age of the oldest record that a sync made durable")
}

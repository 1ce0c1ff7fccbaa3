//! A job, as its process does it: settings and a source's records from a reader, the rungs' records
//! to a writer. Blocking.

use crate::transcode::audio::Audio;
use crate::transcode::error::JobError;
use crate::transcode::intake::Intake;
use crate::transcode::pipeline::{Decoded, Lane, Pipeline};
use crate::transcode::report::Report;
use crate::transcode::rung::{Counts, Rung};
use crate::transcode::settings::{LINE_MAX, Settings, SettingsError};
use crate::transcode::wire::{Output, Splitter, put_output};
use bytes::BytesMut;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Pictures that wait for a rung: one that it works on, and the next. More would only be memory.
const PICTURES: usize = 2;

/// What was made and waits to be written. Beyond that the encoders wait for whoever reads.
const OUTPUTS: usize = 256;

/// Bytes that are written at once, at least, while more waits.
const WRITE: usize = 64 << 10;

/// A report comes after so many pictures: every second or two.
const REPORT_EVERY: u64 = 50;

/// Does a job to its end: the source's end, and all that was made of it is written.
///
/// # Errors
/// Settings that are refused, a source that cannot be read or decoded, an encoder that fails,
/// nobody who takes what is made.
pub fn run<R, W>(mut from: R, to: W) -> Result<(), JobError>
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    let mut splitter = Splitter::default();
    let settings = Settings::parse(&line(&mut from, &mut splitter)?)?;
    let intake = Intake::new();
    let audio = settings.audio.is_some();
    // It ends with the source; where the job ends before, with the process.
    let reads = intake.clone();
    thread("intake", move || reads.read(from, splitter, audio))?;
    let (out, outputs) = sync_channel(OUTPUTS);
    let writer = thread("writer", move || write(&outputs, to))?;
    let done = work(settings, &intake, out);
    intake.leave();
    let written = writer.join().unwrap_or_else(|_| Err(JobError::Thread("writer".into())));
    // Why nobody took anything comes first: all else follows from it.
    written.and(done).and(intake.failure().map_or(Ok(()), Err))
}

/// Everything between what is read and what is written.
fn work(settings: Settings, intake: &Arc<Intake>, out: SyncSender<Output>) -> Result<(), JobError> {
    let broken_sound = Arc::new(AtomicU64::new(0));
    let (mut threads, mut rungs, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for rung in &settings.rungs {
        let (give, take) = sync_channel(PICTURES);
        let count = Arc::new(Counts::default());
        let rung = Rung {
            settings: rung.clone(),
            intake: intake.clone(),
            counts: count.clone(),
            lateness: settings.lateness_micros,
            out: out.clone(),
        };
        let name = format!("rung-{}", rung.settings.name);
        threads.push((name.clone(), thread(&name, move || rung.run(&take))?));
        rungs.push(Lane { tasks: give, counts: count.clone() });
        counts.push(count);
    }
    if let Some(audio) = settings.audio {
        let (broken, out) = (broken_sound.clone(), out.clone());
        let audio = Audio { settings: audio, intake: intake.clone(), broken, out };
        let leaves = intake.clone();
        let work = move || audio.run().inspect_err(|_| leaves.leave());
        threads.push(("audio".into(), thread("audio", work)?));
    }
    let report = |decoded: &Decoded| {
        let behind = decoded.newest.map(|n| intake.newest().saturating_sub(n));
        let each = counts.iter().zip(&settings.rungs);
        Output::Report(Report {
            decoded: decoded.pictures,
            broken: decoded.broken,
            broken_sound: broken_sound.load(Ordering::Relaxed),
            behind_micros: behind.unwrap_or(0).max(0),
            rungs: each.map(|(c, s)| c.report(s.track)).collect(),
        })
    };
    let mut told = 0;
    let decoded = Pipeline::new(rungs, intake.clone(), &settings).run(|decoded| {
        if decoded.pictures >= told + REPORT_EVERY {
            told = decoded.pictures;
            // Where nobody takes it, the rungs learn it too.
            let _ = out.send(report(decoded));
        }
    });
    let ended = threads
        .into_iter()
        .map(|(name, thread)| thread.join().unwrap_or(Err(JobError::Thread(name))));
    let ended = ended.fold(Ok(()), Result::and);
    let decoded = decoded.and_then(|d| ended.map(|()| d))?;
    let _ = out.send(report(&decoded));
    Ok(())
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, JobError> {
    let named = Builder::new().name(name.to_owned());
    named.spawn(work).map_err(|_| JobError::Thread(name.to_owned()))
}

/// The line that the settings are in. What is read beyond it stays in the splitter.
fn line(from: &mut impl Read, splitter: &mut Splitter) -> Result<BytesMut, JobError> {
    let room = splitter.room();
    loop {
        if let Some(end) = room.iter().position(|b| *b == b'\n') {
            return Ok(room.split_to(end + 1));
        }
        if room.len() > LINE_MAX {
            return Err(SettingsError::Line.into());
        }
        let mut piece = [0; 4_096];
        match from.read(&mut piece) {
            Ok(0) => return Err(SettingsError::Line.into()),
            Ok(n) => room.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(JobError::Read(e)),
        }
    }
}

/// Writes what was made, at once as soon as nothing more waits.
fn write(outputs: &Receiver<Output>, mut to: impl Write) -> Result<(), JobError> {
    let mut bytes = BytesMut::new();
    while let Ok(output) = outputs.recv() {
        put_output(&mut bytes, output)?;
        while bytes.len() < WRITE {
            match outputs.try_recv() {
                Ok(output) => put_output(&mut bytes, output)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        to.write_all(&bytes).and_then(|()| to.flush()).map_err(JobError::Write)?;
        bytes.clear();
    }
    Ok(())
}

#[cfg(test)]
#[path = "job_test.rs"]
mod tests;

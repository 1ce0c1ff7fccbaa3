//! The parent's side of a job: its process is started, fed, listened to, measured and ended.
//!
//! Invariant: dropping the [`Worker`] kills the process. Dropping its [`Source`] alone lets it
//! finish.
//! Invariant: a crash of the process is a value here ([`End::Signal`]) and nothing more.

use crate::log::format::record::Record;
use crate::rt::task;
use crate::rt::usage::{self, Usage};
use crate::transcode::settings::{Settings, SettingsError};
use crate::transcode::wire::{Output, Splitter, WireError, put_record};
use bytes::{Buf, BytesMut};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// The subcommand of `castctl` that does a job.
pub const COMMAND: &str = "transcode-worker";

/// Bytes of the process's last words that are kept: an assertion's line, an error's chain.
const WORDS: usize = 4 << 10;

/// Why a worker cannot be had, or takes or gives no more.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Settings that no job can be done with.
    #[error("the job's settings: {0}")]
    Settings(#[from] SettingsError),
    /// The program cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// What was to be started.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A record that cannot be sent, or something that is none.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The process takes or gives no more: [`Worker::ended`] says why.
    #[error("the worker is gone: {0}")]
    Gone(#[source] std::io::Error),
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code; 0: the whole source was transcoded.
    Exit(i32),
    /// By this signal: a crash of the codec library (6, 11), no memory (9), or whoever killed it.
    Signal(i32),
}

/// How the process ended, and its last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What it printed for people, the last of it.
    pub said: String,
}

/// A job's process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    pid: u32,
    /// `None`: told already.
    said: Option<JoinHandle<Option<String>>>,
}

/// Where the source's records go. Dropped: the source is over, and the process finishes.
#[derive(Debug)]
pub struct Source {
    to: ChildStdin,
    pending: BytesMut,
}

/// What the process makes.
#[derive(Debug)]
pub struct Outputs {
    from: ChildStdout,
    splitter: Splitter,
}

impl Worker {
    /// Starts `program`, a castctl, for a job. Must be called inside a runtime.
    ///
    /// # Errors
    /// Settings that are refused, a program that cannot be started.
    pub fn start(
        program: &Path,
        settings: &Settings,
    ) -> Result<(Worker, Source, Outputs), WorkerError> {
        settings.check()?;
        let start = |source| WorkerError::Start { program: program.display().to_string(), source };
        let mut command = Command::new(program);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SVT-AV1 talks much; 1 is errors.
        command.env("SVT_LOG", "1").kill_on_drop(true);
        // A terminal's Ctrl-C is for the parent, whose drain ends the jobs in order. One that is
        // killed leaves its workers the end of their input.
        let mut child = command.process_group(0).spawn().map_err(start)?;
        let gone = || start(std::io::ErrorKind::BrokenPipe.into());
        let pid = child.id().ok_or_else(gone)?;
        let to = child.stdin.take().ok_or_else(gone)?;
        let from = child.stdout.take().ok_or_else(gone)?;
        let err = child.stderr.take().ok_or_else(gone)?;
        let said = Some(task::spawn(format!("worker-{pid}-words"), last_words(err)));
        let pending = BytesMut::from(&settings.line()[..]);
        let splitter = Splitter::default();
        Ok((Worker { child, pid, said }, Source { to, pending }, Outputs { from, splitter }))
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has used so far; `None` once it has ended and was waited for.
    pub fn usage(&self) -> Option<Usage> {
        usage::of(self.pid)
    }

    /// Kills it. How it ended says [`Worker::ended`].
    pub fn kill(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.child.start_kill();
    }

    /// Waits for its end, which comes when its [`Source`] is dropped and its [`Outputs`] are read,
    /// or before, when it crashes. The wait can be given up. What it said is told once.
    ///
    /// # Errors
    /// The system cannot say how it ended.
    pub async fn ended(&mut self) -> std::io::Result<Ended> {
        let end = end(self.child.wait().await?);
        let mut said = String::new();
        if let Some(task) = &mut self.said {
            said = task.await.ok().flatten().unwrap_or_default();
            self.said = None;
        }
        Ok(Ended { end, said })
    }
}

impl Source {
    /// Sends a record; waits while the process has as much as it holds. Where the wait is given up,
    /// the record counts as sent: what is left of it goes before the next one.
    ///
    /// # Errors
    /// The process is gone, or a record that is too large.
    pub async fn send(&mut self, record: &Record) -> Result<(), WorkerError> {
        put_record(&mut self.pending, record)?;
        self.flush().await
    }

    /// Sends what a wait that was given up has left.
    ///
    /// # Errors
    /// The process is gone.
    pub async fn flush(&mut self) -> Result<(), WorkerError> {
        while self.pending.has_remaining() {
            self.to.write_buf(&mut self.pending).await.map_err(WorkerError::Gone)?;
        }
        Ok(())
    }
}

impl Outputs {
    /// The next thing that the process made; `None`: it ended. Nothing is lost where the wait is
    /// given up.
    ///
    /// # Errors
    /// What comes is no record, or breaks off within one, as after a crash.
    pub async fn next(&mut self) -> Result<Option<Output>, WorkerError> {
        loop {
            if let Some(output) = self.splitter.output()? {
                return Ok(Some(output));
            }
            let read = self.from.read_buf(self.splitter.room()).await;
            if read.map_err(WorkerError::Gone)? == 0 {
                self.splitter.end()?;
                return Ok(None);
            }
        }
    }
}

fn end(status: ExitStatus) -> End {
    // A process that was waited for has the one or the other.
    status.signal().map_or(End::Exit(status.code().unwrap_or_default()), End::Signal)
}

/// The end of what the process prints for people.
async fn last_words(mut from: ChildStderr) -> String {
    let mut words = BytesMut::new();
    while let Ok(1..) = from.read_buf(&mut words).await {
        words.advance(words.len().saturating_sub(WORDS));
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}

//! What every command shares: exit codes, failures and how they are printed, the manifest file, the
//! runtime.

use crate::base::error::Kind;
use crate::manifest::parse::{FILE_MAX, ManifestErrors, parse_bytes};
use crate::manifest::types::Manifest;
use std::fmt;
use std::future::Future;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

/// How a command ended. The numbers are promised in `castctl(1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Done, but the answer is no: damage found, not conformant, would change.
    No = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The operation failed.
    Failed = 3,
    /// Forced by a second signal.
    Forced = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A command failed: what to print and how to exit.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The words or the configuration are wrong.
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Usage, message: message.to_string(), hint: None }
    }

    /// The operation failed.
    pub fn failed(message: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Failed, message: message.to_string(), hint: None }
    }

    /// A failure of this kind: what was asked for in a wrong way is usage, all else failed.
    pub fn of(kind: Kind, message: impl fmt::Display) -> Failure {
        match kind {
            Kind::Invalid => Failure::usage(message),
            _ => Failure::failed(message),
        }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ManifestErrors> for Failure {
    fn from(e: ManifestErrors) -> Failure {
        Failure::usage(e)
    }
}

/// Prints to stdout; a closed pipe is success and ends nothing.
#[allow(clippy::print_stdout, reason = "the one place data is printed")]
pub fn out(text: impl fmt::Display) {
    // A reader that has seen enough (`| head`) closes the pipe; that is its right.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a line for people.
#[allow(clippy::print_stderr, reason = "the one place people are spoken to")]
pub fn say(text: impl fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Help and version go to stdout and are done; wrong words go to stderr.
pub fn usage(e: &clap::Error) -> Exit {
    let _ = e.print();
    if e.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// Prints a failure, once, and answers the exit code.
pub fn finish(result: Result<Exit, Failure>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(f) => {
            say(format!("error: {}", f.message));
            if let Some(hint) = f.hint {
                say(format!("hint: {hint}"));
            }
            f.exit
        }
    }
}

/// Reads and checks a manifest; without a file, the embedded defaults.
pub fn manifest(file: Option<&Path>) -> Result<Manifest, Failure> {
    let Some(path) = file else { return Ok(Manifest::default()) };
    let cannot = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(parse_bytes(&path.display().to_string(), &bytes)?)
}

/// Runs a command that needs a runtime.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("castctl")
        .build()
        .map_err(|e| Failure::failed(format!("cannot start: {e}")))?;
    let output = runtime.block_on(future);
    // Blocking reads that nobody waits for any more must not hold the exit up.
    runtime.shutdown_background();
    Ok(output)
}

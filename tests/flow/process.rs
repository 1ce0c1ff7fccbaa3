//! Processes: encoders, players and the real binary. What they print can be waited for, and none
//! outlives its test.

use crate::server::{PATIENCE, within};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::watch;

/// A running process. Killed when dropped.
pub(crate) struct Process {
    pid: Pid,
    out: watch::Receiver<String>,
    err: watch::Receiver<String>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// How a process ended, and all it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Collects a pipe in a thread of its own.
fn collect(mut pipe: impl Read + Send + 'static) -> watch::Receiver<String> {
    let (tell, text) = watch::channel(String::new());
    std::thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok(n) = pipe.read(&mut buf) {
            if n == 0 {
                return;
            }
            tell.send_modify(|t| t.push_str(&String::from_utf8_lossy(&buf[..n])));
        }
    });
    text
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let out = collect(child.stdout.take().expect("piped"));
        let err = collect(child.stderr.take().expect("piped"));
        let pid = Pid::from_child(&child);
        let (tell, exit) = watch::channel(None);
        std::thread::spawn(move || tell.send_replace(child.wait().ok()));
        Process { pid, out, err, exit }
    }

    /// Waits until stderr has `text`; all that it has.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        let mut err = self.err.clone();
        let said = within(text, err.wait_for(|t| t.contains(text))).await.map(|t| t.clone());
        said.unwrap_or_else(|_| panic!("never said {text:?}:\n{}", self.err.borrow().clone()))
    }

    /// Waits until stdout has `text` so many times.
    pub(crate) async fn prints(&mut self, text: &str, times: usize) {
        let mut out = self.out.clone();
        let enough = out.wait_for(|t| t.matches(text).count() >= times);
        if within(text, enough).await.is_err() {
            panic!("it ended early:\n{}\n{}", self.out.borrow().clone(), self.said());
        }
    }

    /// What stderr has so far.
    pub(crate) fn said(&self) -> String {
        self.err.borrow().clone()
    }

    /// What stdout has so far.
    pub(crate) fn printed(&self) -> String {
        self.out.borrow().clone()
    }

    /// Its number.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        // A process that has ended needs no signal.
        let _ = kill_process(self.pid, signal);
    }

    /// Waits until it has ended.
    pub(crate) async fn over(&mut self) {
        let _ = self.exit.wait_for(Option::is_some).await;
    }

    /// Waits for the end, and for all that it printed.
    pub(crate) async fn ended(self) -> Ended {
        self.ended_within(PATIENCE).await
    }

    /// As [`Process::ended`], for one that takes its time.
    pub(crate) async fn ended_within(mut self, limit: Duration) -> Ended {
        let exit = tokio::time::timeout(limit, self.exit.wait_for(Option::is_some)).await;
        let exit = exit.map(|e| e.map(|e| *e));
        let Ok(exit) = exit else { panic!("not over in {limit:?}: {}", self.said()) };
        let code = exit.expect("the waiting thread answers").and_then(|s| s.code());
        // The pipes' threads end, and their channels close, when all is read.
        while self.out.changed().await.is_ok() {}
        while self.err.changed().await.is_ok() {}
        let (out, err) = (self.out.borrow().clone(), self.err.borrow().clone());
        Ended { code, out, err }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit.borrow().is_none() {
            self.signal(Signal::KILL);
        }
    }
}

/// Runs a command to its end.
pub(crate) async fn run(command: &mut Command) -> Ended {
    Process::start(command).ended().await
}

/// Runs castctl to its end.
pub(crate) async fn castctl(words: &[&str]) -> Ended {
    run(Command::new(env!("CARGO_BIN_EXE_castctl")).args(words)).await
}

/// ffmpeg, quiet but for errors, with these words.
pub(crate) fn ffmpeg(words: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-v", "error", "-nostdin"]).args(words.split_whitespace());
    command
}

/// FFmpeg 9, which publishes what Debian's does not know, quiet but for errors.
pub(crate) fn ffmpeg9(words: &str) -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ffmpeg9");
    assert!(program.exists(), "{} is missing: run scripts/setup test", program.display());
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-v", "error", "-nostdin"]).args(words.split_whitespace());
    // SVT-AV1 talks of itself otherwise.
    command.env("SVT_LOG", "1");
    command
}

/// `castctl up` as a process, with the lines it printed at its start.
pub(crate) struct Up {
    pub(crate) process: Process,
    said: BTreeMap<String, String>,
}

/// The command `castctl up` on a data directory, with no manifest of the surroundings.
pub(crate) fn castctl_up(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    command.arg("up").arg("--data").arg(data);
    own_surroundings(&mut command);
    // Its port is of no use to most tests; those that start their nodes by hand have theirs.
    command.env("CASTCTL_INTERNAL", "127.0.0.1:0");
    command
}

/// Nothing of what the tests were started with reaches a server.
fn own_surroundings(command: &mut Command) {
    for variable in ["MANIFEST", "RTMP", "VIEWERS", "INTERNAL", "ADMIN", "DATA", "UPSTREAM", "KEY"]
    {
        command.env_remove(format!("CASTCTL_{variable}"));
    }
    command.env("NO_COLOR", "1");
}

/// castctl without any words, in surroundings of its own.
pub(crate) fn plain() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    own_surroundings(&mut command);
    command
}

/// A server command with these words, and the lines it prints at its start, of which `last` is the
/// last.
pub(crate) async fn node(words: &[&str], last: &str) -> Up {
    let mut command = plain();
    command.args(words);
    Up::started(command, last).await
}

impl Up {
    /// Starts on `data` with free ports, or the given ones.
    pub(crate) async fn start(data: &Path, manifest: Option<&Path>, ports: [SocketAddr; 3]) -> Up {
        let mut command = castctl_up(data);
        for (flag, port) in ["--rtmp", "--viewers", "--admin"].iter().zip(ports) {
            command.arg(flag).arg(port.to_string());
        }
        if let Some(manifest) = manifest {
            command.arg("--manifest").arg(manifest);
        }
        Up::run(command).await
    }

    /// Runs a command that becomes `castctl up`.
    pub(crate) async fn run(command: Command) -> Up {
        Up::started(command, "playlist").await
    }

    /// Runs a command whose last line at its start is named so.
    pub(crate) async fn run_until(command: Command, last: &str) -> Up {
        Up::started(command, last).await
    }

    async fn started(mut command: Command, last: &str) -> Up {
        let process = Process::start(&mut command);
        let mut lines = process.out.clone();
        let last = format!("{last}: ");
        let whole = |t: &String| t.lines().any(|l| l.starts_with(&last)) && t.ends_with('\n');
        let said = within("the server to say where it is", async {
            lines.wait_for(whole).await.map(|t| t.clone())
        });
        let said = match said.await {
            Ok(said) => said,
            Err(_) => panic!("castctl failed: {:?}", process.ended().await),
        };
        let pair = |l: &str| l.split_once(": ").map(|(k, v)| (k.to_owned(), v.to_owned()));
        Up { process, said: said.lines().filter_map(pair).collect() }
    }

    /// The value of one of the lines.
    pub(crate) fn line(&self, key: &str) -> &str {
        self.said.get(key).unwrap_or_else(|| panic!("no line {key}: {:?}", self.said))
    }

    /// The ports of RTMP, viewers and admin, for a restart on the same ones.
    pub(crate) fn ports(&self) -> [SocketAddr; 3] {
        let rtmp = self.line("rtmp").trim_start_matches("rtmp://").trim_end_matches("/live");
        let viewers = self.base();
        let viewers = viewers.trim_start_matches("http://").trim_end_matches('/');
        let admin = self.line("admin").trim_start_matches("http://");
        [rtmp, viewers, admin].map(|a| a.parse().expect("an address"))
    }

    /// The viewers' base URL.
    pub(crate) fn base(&self) -> String {
        let (base, _) = self.line("playlist").split_once("/live/").expect("a live URL");
        format!("{base}/")
    }
}

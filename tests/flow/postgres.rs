//! A real PostgreSQL of the tests' own: one server for all tests of this binary, a database for
//! each test. It ends with the process that started it, however that ends.

use crate::server::local;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Keeps a server in a directory of its own. Reads `start`, `stop` (as by `kill -9`), `freeze` and
/// `thaw` (SIGSTOP, SIGCONT), `create NAME`, one a line, and answers each with a line. The end of
/// its input is the end of the server. With a certificate and its key it takes only who speaks TLS.
const KEEPER: &str = r#"
set -eu
# Debian keeps the server's programs out of the way.
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')
port=$1 certificate=$2 key=$3
dir=$(mktemp -d)
cd "$dir"
stop() { pg_ctl -w -D data -m immediate stop >log.stop 2>&1; }
settings="-c listen_addresses=127.0.0.1 -c max_connections=300 -c fsync=off"
start() { pg_ctl -w -D data -l log -o "-p $port -k $dir $settings" start; }
# One that is listed may be gone by then.
all() { p=$(head -1 data/postmaster.pid); kill "-$1" "$p" $(cat "/proc/$p/task/$p/children") || :; }
trap 'set +e; all CONT; stop; cd /; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
initdb -D data -A trust -U castctl -N >log.initdb 2>&1 || { cat log.initdb >&2; exit 1; }
if [ -n "$certificate" ]; then
  umask 077
  echo "$certificate" >data/server.crt
  echo "$key" >data/server.key
  echo 'hostssl all all 127.0.0.1/32 trust' >data/pg_hba.conf
  settings="$settings -c ssl=on"
fi
while read -r word name; do
  case $word in
    start) start >log.start 2>&1 || { cat log.start log >&2; exit 1; } ;;
    stop) stop ;;
    freeze) all STOP ;;
    thaw) all CONT ;;
    create) psql -q -h 127.0.0.1 -p "$port" -U castctl -d postgres -c "CREATE DATABASE $name" ;;
  esac
  echo "$word"
done
"#;

struct Keeper {
    _shell: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A running server.
pub(crate) struct Postgres {
    port: u16,
    keeper: Mutex<Keeper>,
    databases: AtomicU32,
}

/// The server that the tests share.
pub(crate) fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

impl Postgres {
    /// A server that only one test has, to stop and freeze.
    pub(crate) fn start() -> Postgres {
        Postgres::with("", "")
    }

    /// One that takes only who speaks TLS, with this certificate and key in PEM.
    pub(crate) fn over_tls(certificate: &str, key: &str) -> Postgres {
        Postgres::with(certificate, key)
    }

    fn with(certificate: &str, key: &str) -> Postgres {
        let port = TcpListener::bind(local()).and_then(|l| l.local_addr()).expect("a port").port();
        // The server refuses to be run by root.
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new(if root { "runuser" } else { "sh" });
        if root {
            command.args(["-u", "postgres", "--", "sh"]);
        }
        command.args(["-c", KEEPER, "postgres", &port.to_string(), certificate, key]);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().expect("PostgreSQL: run scripts/setup test");
        let words = shell.stdin.take().expect("piped");
        let answers = BufReader::new(shell.stdout.take().expect("piped"));
        let keeper = Mutex::new(Keeper { _shell: shell, words, answers });
        let server = Postgres { port, keeper, databases: AtomicU32::new(0) };
        server.say("start");
        server
    }

    fn say(&self, words: &str) {
        let mut keeper = self.keeper.lock().expect("no panic");
        writeln!(keeper.words, "{words}").expect("the keeper lives");
        let mut line = String::new();
        keeper.answers.read_line(&mut line).expect("an answer");
        assert_eq!(words.split(' ').next(), Some(line.trim()), "PostgreSQL failed, see stderr");
    }

    /// A new, empty database: its URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.say(&format!("create {name}"));
        format!("postgres://castctl@127.0.0.1:{}/{name}", self.port)
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(&self) {
        self.say("stop");
    }

    /// Starts it again after a crash.
    pub(crate) fn again(&self) {
        self.say("start");
    }

    /// Every one of its processes stands still.
    pub(crate) fn freeze(&self) {
        self.say("freeze");
    }

    /// ... and goes on.
    pub(crate) fn thaw(&self) {
        self.say("thaw");
    }
}

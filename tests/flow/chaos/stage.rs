//! The cast: every process of a cluster, the links between them, and what is done to them.

use crate::chaos::balancer::{Balancer, Behind};
use crate::chaos::link::Link;
use crate::chaos::plan::{Blow, Cast, How, Role, Who};
use crate::nodes::addr;
use crate::postgres::Postgres;
use crate::process::{Up, castctl, node};
use castctl::base::time::Mono;
use castctl::rt::clock::Clock;
use reqwest::Url;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Mutex as Held;

/// Longest drain of a process that is told to end: above the server's own limit.
const DRAIN: Duration = Duration::from_secs(60);

/// A process of the cast: how it is started, and who reaches it where.
struct Member {
    who: Who,
    words: Vec<String>,
    /// The line that says where it listens, and the link that leads there.
    links: Vec<(&'static str, Arc<Link>)>,
    up: Held<Option<Up>>,
    /// What its processes said that have ended.
    said: Mutex<String>,
}

/// What was done, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) blow: Blow,
    pub(crate) from: Mono,
    pub(crate) to: Mono,
}

/// A channel and its key.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) key: String,
}

/// See the module.
pub(crate) struct Stage {
    dir: TempDir,
    members: Vec<Member>,
    links: Vec<Arc<Link>>,
    postgres: Postgres,
    database: String,
    pub(crate) balancer: Balancer,
    /// The edges by themselves: these links are never cut.
    pub(crate) direct: Vec<Url>,
    pub(crate) channels: Vec<Channel>,
    off: Mutex<Vec<Who>>,
    pub(crate) clock: Clock,
}

fn who(role: Role, number: usize) -> Who {
    Who { role, number }
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}

/// What the cast is made from.
struct Casting {
    cast: Cast,
    secret: String,
    dir: PathBuf,
    links: Vec<Arc<Link>>,
}

impl Casting {
    fn link(&mut self, ends: &[Who]) -> Arc<Link> {
        let link = Arc::new(Link::new(ends));
        self.links.push(Arc::clone(&link));
        link
    }

    fn path(&self, who: Who) -> String {
        self.dir.join(who.to_string()).display().to_string()
    }

    fn member(
        &self,
        who: Who,
        words: Vec<String>,
        links: Vec<(&'static str, Arc<Link>)>,
    ) -> Member {
        let more = [format!("--secret-file={}", self.secret), "--admin=127.0.0.1:0".into()];
        let words = words.into_iter().chain(more).collect();
        Member { who, words, links, up: Held::new(None), said: Mutex::default() }
    }

    /// Links of somebody to every API server.
    fn links_to_apis(&mut self, from: &[Who]) -> Vec<Arc<Link>> {
        let ends = |n| from.iter().copied().chain([who(Role::Api, n)]).collect::<Vec<_>>();
        (0..self.cast.apis).map(|n| self.link(&ends(n))).collect()
    }

    fn origin(&mut self, n: usize, api: &str) -> (Member, Behind) {
        let me = who(Role::Origin, n);
        let [rtmp, internal, admin] = [(); 3].map(|()| self.link(&[me]));
        let words = vec![
            "ingest".into(),
            format!("--api={api}"),
            format!("--node={me}"),
            format!("--data={}", self.path(me)),
            "--rtmp=127.0.0.1:0".into(),
            "--internal=127.0.0.1:0".into(),
            format!("--advertise={}", url(internal.addr)),
        ];
        let behind = Behind { name: me.to_string(), serves: rtmp.addr, admin: admin.addr };
        let links = vec![("rtmp", rtmp), ("internal", internal), ("admin", admin)];
        (self.member(me, words, links), behind)
    }

    fn edge(&mut self, n: usize, api: &str) -> (Member, Behind, Url) {
        let me = who(Role::Edge, n);
        let [viewers, internal, admin] = [(); 3].map(|()| self.link(&[me]));
        let direct = self.link(&[]);
        let words = vec![
            "serve-edge".into(),
            format!("--api={api}"),
            format!("--node={me}"),
            format!("--state={}", self.path(me)),
            "--viewers=127.0.0.1:0".into(),
            "--internal=127.0.0.1:0".into(),
            format!("--advertise={}", url(internal.addr)),
        ];
        let behind = Behind { name: me.to_string(), serves: viewers.addr, admin: admin.addr };
        let base = format!("{}/", url(direct.addr)).parse().expect("a URL");
        let served = [("viewers", viewers), ("viewers", direct), ("internal", internal)];
        let links = served.into_iter().chain([("admin", admin)]).collect();
        (self.member(me, words, links), behind, base)
    }
}

impl Member {
    async fn start(&self) {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let up = node(&words, "admin").await;
        for (line, link) in &self.links {
            link.leads_to(Some(addr(&up, line)));
        }
        *self.up.lock().await = Some(up);
    }

    fn is_gone(&self) {
        self.links.iter().for_each(|(_, link)| link.leads_to(None));
    }

    async fn signal(&self, signal: Signal) {
        if let Some(up) = &*self.up.lock().await {
            up.process.signal(signal);
        }
    }

    /// Ends the process; with its exit code.
    async fn end(&self, signal: Signal) -> Option<i32> {
        let up = self.up.lock().await.take().expect("it is up");
        up.process.signal(signal);
        if signal == Signal::KILL {
            self.is_gone();
        }
        let ended = up.process.ended_within(DRAIN).await;
        self.is_gone();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&ended.err);
        said.push_str(&format!("--- ended with {:?}\n", ended.code));
        ended.code
    }

    async fn said(&self) -> String {
        let now = self.up.lock().await.as_ref().map(|up| up.process.said()).unwrap_or_default();
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone() + &now
    }
}

impl Stage {
    /// Starts everybody, and makes so many channels with these settings.
    pub(crate) async fn set(cast: Cast, channels: usize, settings: &str) -> Stage {
        let (dir, clock) = (tempfile::tempdir().expect("a directory"), Clock::system());
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "a secret of this test's cluster\n").expect("written");
        let secret = secret.display().to_string();
        let (postgres, path) = (Postgres::start(), dir.path().to_owned());
        let database = postgres.database();
        let mut casting = Casting { cast, secret: secret.clone(), dir: path, links: Vec::new() };
        let mut members = Vec::new();
        let mut apis: Vec<Vec<(&str, Arc<Link>)>> = vec![Vec::new(); cast.apis];
        let mut served = |casting: &mut Casting, from: &[Who]| -> String {
            let links = casting.links_to_apis(from);
            links.iter().zip(&mut apis).for_each(|(l, api)| api.push(("api", l.clone())));
            links.iter().map(|l| url(l.addr)).collect::<Vec<_>>().join(",")
        };
        let (mut origins, mut edges, mut direct) = (Vec::new(), Vec::new(), Vec::new());
        let operator = served(&mut casting, &[]);
        for n in 0..cast.origins {
            let api = served(&mut casting, &[who(Role::Origin, n)]);
            let (member, behind) = casting.origin(n, &api);
            members.push(member);
            origins.push(behind);
        }
        for n in 0..cast.edges {
            let api = served(&mut casting, &[who(Role::Edge, n)]);
            let (member, behind, base) = casting.edge(n, &api);
            members.push(member);
            edges.push(behind);
            direct.push(base);
        }
        for (n, links) in apis.into_iter().enumerate() {
            let me = who(Role::Api, n);
            let to = casting.link(&[me, who(Role::Database, 0)]);
            let from = database.rsplit_once('@').expect("a URL").1;
            let (server, name) = from.split_once('/').expect("a database");
            to.leads_to(Some(server.parse().expect("an address")));
            let words = vec![
                "serve-api".into(),
                format!("--database=postgres://castctl@{}/{name}", to.addr),
                "--listen=127.0.0.1:0".into(),
                // Half of the edges read through the others.
                format!("--fanout={}", cast.edges.div_ceil(2)),
            ];
            members.insert(n, casting.member(me, words, links));
        }
        for member in &members {
            member.start().await;
        }
        let channels = make_channels(channels, settings, &operator, &secret).await;
        let balancer = Balancer::start(dir.path(), &origins, &edges).await;
        let (links, off) = (casting.links, Mutex::default());
        Stage { dir, members, links, postgres, database, balancer, direct, channels, off, clock }
    }

    /// Since the stage was set.
    pub(crate) fn now(&self) -> Mono {
        self.clock.now().mono
    }

    pub(crate) async fn wait(&self, time: Duration) {
        self.clock.sleep_until(self.now().plus(time)).await;
    }

    /// Does it, and undoes it.
    pub(crate) async fn strike(self: Arc<Stage>, blow: Blow) -> Done {
        let from = self.now();
        match blow.how {
            How::Cut => {
                self.off(|off| off.push(blow.who));
                self.wait(blow.lasts).await;
                self.off(|off| off.retain(|w| *w != blow.who));
            }
            _ if blow.who.role == Role::Database => self.strike_database(blow).await,
            How::Freeze => {
                let member = self.member(blow.who);
                member.signal(Signal::STOP).await;
                self.wait(blow.lasts).await;
                member.signal(Signal::CONT).await;
            }
            How::Kill | How::Term => {
                let member = self.member(blow.who);
                let (signal, code) = match blow.how {
                    How::Kill => (Signal::KILL, None),
                    _ => (Signal::TERM, Some(0)),
                };
                let ended = member.end(signal).await;
                assert_eq!(ended, code, "{}: {}", blow.who, member.said().await);
                self.wait(blow.lasts).await;
                member.start().await;
            }
        }
        Done { blow, from, to: self.now() }
    }

    async fn strike_database(self: &Arc<Stage>, blow: Blow) {
        type Word = fn(&Postgres);
        let (begin, end): (Word, Word) = match blow.how {
            How::Freeze => (Postgres::freeze, Postgres::thaw),
            _ => (Postgres::crash, Postgres::again),
        };
        // The keeper's answers are waited for by a thread.
        let say = async |word: Word| {
            let stage = Arc::clone(self);
            tokio::task::spawn_blocking(move || word(&stage.postgres)).await.expect("it answers");
        };
        say(begin).await;
        self.wait(blow.lasts).await;
        say(end).await;
    }

    fn off(&self, change: impl FnOnce(&mut Vec<Who>)) {
        let mut off = self.off.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut off);
        self.links.iter().for_each(|link| link.set(&off));
    }

    fn member(&self, who: Who) -> &Member {
        self.members.iter().find(|m| m.who == who).expect("of the cast")
    }

    /// What the registry wrote down: `SELECT` by psql, a row a line, `|` between fields.
    pub(crate) async fn ask_database(&self, sql: &str) -> String {
        let mut psql = std::process::Command::new("psql");
        psql.args(["-At", "-d", &self.database, "-c", sql]);
        let ended = crate::process::run(&mut psql).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.out
    }

    /// Ends every process in good order; the directories of the origins.
    pub(crate) async fn close(&self) -> Vec<PathBuf> {
        for role in [Role::Edge, Role::Origin, Role::Api] {
            for member in self.members.iter().filter(|m| m.who.role == role) {
                let code = member.end(Signal::TERM).await;
                assert_eq!(code, Some(0), "{}: {}", member.who, member.said().await);
            }
        }
        let origins = self.members.iter().filter(|m| m.who.role == Role::Origin);
        origins.map(|m| self.dir.path().join(m.who.to_string())).collect()
    }

    /// Copies what everybody said and stored into a directory, for whoever looks into a failure.
    pub(crate) async fn keep_words(&self, to: &Path) {
        std::fs::create_dir_all(to).expect("a directory");
        for member in &self.members {
            let file = to.join(format!("{}.log", member.who));
            std::fs::write(file, member.said().await).expect("written");
        }
        let said = self.balancer.process.said() + &self.balancer.process.printed();
        std::fs::write(to.join("haproxy.log"), said).expect("written");
        let mut copy = std::process::Command::new("cp");
        copy.arg("-rT").arg(self.dir.path()).arg(to.join("data"));
        assert_eq!(crate::process::run(&mut copy).await.code, Some(0), "kept");
    }
}

async fn make_channels(n: usize, settings: &str, api: &str, secret: &str) -> Vec<Channel> {
    let mut out = Vec::new();
    for n in 0..n {
        let name = format!("c{n}");
        let words = format!("channel create {name} {settings} --json --api {api}");
        let mut words: Vec<&str> = words.split_whitespace().collect();
        words.extend(["--secret-file", secret]);
        let made = castctl(&words).await;
        assert_eq!(made.code, Some(0), "{}", made.err);
        let made: serde_json::Value = serde_json::from_str(&made.out).expect("JSON");
        out.push(Channel { name, key: made["key"].as_str().expect("a key").to_owned() });
    }
    out
}

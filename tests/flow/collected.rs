//! Recordings brought into a bucket and read back from there: whole, once, and the same, whatever
//! happens to the collector and on the way.

use crate::bucket::{BUCKET, Moto, Proxy};
use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::process::{Ended, Process, Up, run};
use crate::server::{KEY, Server, fast, within};
use crate::stage::{Stage, tell};
use castctl::base::random::Random;
use castctl::store::port::Store;
use castctl::store::upload::PART_BYTES;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// castctl, which reaches the bucket through the proxy.
fn castctl(proxy: &Proxy, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    command.args(words).envs(proxy.settings()).env("NO_COLOR", "1");
    for variable in ["CASTCTL_MANIFEST", "CASTCTL_DATA", "CASTCTL_ADMIN"] {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn url(prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}")
}

/// The command that collects a data directory.
fn collect(proxy: &Proxy, data: &Path, more: &[&str]) -> Command {
    let mut command = castctl(proxy, &["collect", "--to", &url("archive")]);
    command.arg("--data").arg(data).args(more);
    command
}

/// Collects once; what it says of itself.
async fn once(proxy: &Proxy, data: &Path, more: &[&str]) -> (Ended, Value) {
    let ended = run(collect(proxy, data, &["--json"]).args(more)).await;
    let said = serde_json::from_str(&ended.out).unwrap_or(Value::Null);
    (ended, said)
}

/// Every extent of a data directory, by the name that it has in the bucket.
pub(crate) fn extents(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let (logs, mut found) = (data.join("logs"), BTreeMap::new());
    let mut dirs = vec![logs.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("a name").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "extent") {
                let name = path.strip_prefix(&logs).expect("below it").display().to_string();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    assert!(!found.is_empty(), "nothing was recorded");
    found
}

/// The bucket has every extent, byte for byte, and no other.
pub(crate) async fn is_whole(store: &Store, data: &Path) {
    let here = extents(data);
    let there = store.list("", None).await.expect("listed");
    let there: Vec<&str> =
        there.iter().map(|e| e.key.as_str()).filter(|k| k.ends_with(".extent")).collect();
    assert_eq!(there, here.keys().collect::<Vec<_>>());
    for (key, bytes) in here {
        let got = store.range(&key, 0..bytes.len() as u64).await.expect("read");
        assert!(got == bytes, "{key} is another one in the bucket");
    }
}

/// No object was put twice after the collector had been told that it is there.
pub(crate) fn only_once(proxy: &Proxy) {
    let twice: Vec<_> = proxy.acknowledged().into_iter().filter(|(_, n)| *n > 1).collect();
    assert!(twice.is_empty(), "put again: {twice:?}");
}

/// A recording whose extents are larger than a part, made by an encoder and the real server.
async fn recorded(seconds: u32) -> TempDir {
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    let tags = clip::heavy(&clip::looped(&clip::bbb(), seconds));
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    encoder.at_once(&tags).await.expect("taken");
    within("the server to hang up", encoder.finished()).await;
    server.stop().await
}

/// A recording of two generations with many small extents, the last one open.
async fn of_many() -> Stage {
    let stage = Stage::set(fast("main", &[KEY])).await;
    let tags = clip::looped(&clip::bbb(), 60);
    let mut publisher = stage.publisher().await;
    tell(&mut publisher, &tags).await;
    drop(publisher);
    let mut publisher = stage.publisher().await;
    tell(&mut publisher, &tags).await;
    drop(publisher);
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_collected_and_read_from_the_bucket_as_from_the_disk() {
    let (moto, data) = tokio::join!(Moto::start(), recorded(150));
    let proxy = Proxy::before(moto.addr).await;
    let (ended, said) = once(&proxy, data.path(), &["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let here = extents(data.path());
    assert_eq!(said["uploaded"], here.len(), "{said}");
    assert_eq!((&said["left"], &said["logs"][0]["whole"]), (&0.into(), &true.into()), "{said}");
    assert!(here.values().any(|e| e.len() as u64 > 2 * PART_BYTES), "some went in parts");
    is_whole(&proxy.store("archive"), data.path()).await;
    let (_, again) = once(&proxy, data.path(), &[]).await;
    assert_eq!(again["uploaded"], 0, "{again}");
    only_once(&proxy);

    // The tools read it there, and give what they give here.
    let (log, there) = (data.path().join("logs/main/s1"), url("archive/main/s1"));
    let log = log.to_str().expect("a path");
    let out = tempfile::tempdir().expect("a directory");
    let name = |name: &str| out.path().join(name).display().to_string();
    for (from, to) in [(log, name("here.mp4")), (&there, name("there.mp4"))] {
        let words = ["export", from, "--from", "+20s", "--to", "+110s", "--to", &to];
        let ended = run(&mut castctl(&proxy, &words)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
    let read = |name: &str| std::fs::read(out.path().join(name)).expect("written");
    assert!(read("here.mp4") == read("there.mp4"), "the export is another one");
    let digest = |from: String| {
        let mut command = castctl(&proxy, &["replay", &from, "--digest", "--json"]);
        async move { run(&mut command).await }
    };
    let (here, from_there) = (digest(log.to_owned()).await, digest(there.clone()).await);
    assert_eq!(from_there.code, Some(0), "{}", from_there.err);
    assert_eq!(here.out, from_there.out);
    let inspect = |from: String, more: &'static str| {
        let mut command = castctl(&proxy, &["inspect", &from, more]);
        async move { run(&mut command).await }
    };
    for more in ["--timeline", "--json"] {
        let here = inspect(format!("{log}/g1"), more).await;
        let from_there = inspect(format!("{there}/g1"), more).await;
        assert_eq!((here.code, from_there.code), (Some(0), Some(0)), "{}", from_there.err);
        assert_eq!(here.out.replace(log, &there), from_there.out, "{more}");
    }
    let words = ["collect", "--rebuild-catalog", &url("archive"), "--json"];
    let ended = run(&mut castctl(&proxy, &words)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let catalog: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(catalog["logs"][0]["log"], "main/s1/g1", "{catalog}");
    assert_eq!(catalog["logs"][0]["whole"], true, "{catalog}");
    let listed = catalog["logs"][0]["extents"].as_array().expect("extents");
    assert_eq!(listed.len(), extents(data.path()).len());
    assert!(listed.iter().all(|e| e["from"].is_string()), "{catalog}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_is_collected_while_the_rest_is_being_written() {
    let (moto, stage) = tokio::join!(Moto::start(), Stage::set(fast("main", &[KEY])));
    let proxy = Proxy::before(moto.addr).await;
    let tags = clip::looped(&clip::bbb(), 40);
    let mut publisher = stage.publisher().await;
    let mut there = 0;
    for some in tags.chunks(tags.len().div_ceil(3)) {
        tell(&mut publisher, some).await;
        // A log that is being written is not sealed by anybody else.
        let (ended, said) = once(&proxy, stage.data(), &["--seal"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!((&said["open"], &said["left"]), (&1.into(), &0.into()), "{said}");
        assert_eq!(said["there"], there, "{said}");
        let uploaded = said["uploaded"].as_u64().expect("a number");
        assert!(uploaded > 0, "{said}");
        there += uploaded;
    }
    drop(publisher);
    let (ended, said) = once(&proxy, stage.data(), &["--seal"]).await;
    assert_eq!((ended.code, &said["logs"][0]["whole"]), (Some(0), &true.into()), "{said}");
    assert_eq!(said["open"], 0, "{said}");
    is_whole(&proxy.store("archive"), stage.data()).await;
    only_once(&proxy);
    stage.close();
}

/// Kills a collector at random moments, and starts it again until one comes to its end.
async fn killed(proxy: &Proxy, data: &Path, seed: u64) -> usize {
    let mut random = Random::new(seed);
    for kills in 0.. {
        let mut process = Process::start(&mut collect(proxy, data, &["--json", "--seal"]));
        // Longer each time, so that the last one may end.
        let longest = 100.0 * 1.25f64.powi(kills as i32);
        let moment = Duration::from_millis(random.below(longest as u64));
        tokio::select! {
            () = tokio::time::sleep(moment) => process.signal(Signal::KILL),
            _ = process.over() => {}
        }
        let ended = process.ended().await;
        if let Some(code) = ended.code {
            assert_eq!(code, 0, "{}", ended.err);
            return kills;
        }
    }
    unreachable!("one comes to its end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_killed_again_and_again_loses_and_repeats_nothing() {
    let (moto, stage, large) = tokio::join!(Moto::start(), of_many(), recorded(150));
    let small = stage.data().to_owned();
    for (data, seed) in [(small.as_path(), 1), (small.as_path(), 2), (large.path(), 3)] {
        let proxy = Proxy::before(moto.addr).await;
        let store = proxy.store("archive");
        let kills = killed(&proxy, data, seed).await;
        assert!(kills > 0, "no kill hit it");
        is_whole(&store, data).await;
        only_once(&proxy);
        anew(&store, data).await;
    }
    stage.close();
}

/// For the next collector everything is new: an empty bucket, and no marks.
async fn anew(store: &Store, data: &Path) {
    for entry in store.list("", None).await.expect("listed") {
        store.delete(&entry.key).await.expect("deleted");
    }
    let mut dirs = vec![data.join("logs")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("a name").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.display().to_string().ends_with("collected") {
                std::fs::remove_file(path).expect("removed");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_on_the_way_nothing_is_lost_or_put_twice() {
    let (moto, stage, large) = tokio::join!(Moto::start(), of_many(), recorded(150));
    let small = stage.data().to_owned();
    for (data, seed) in [(large.path(), 7), (small.as_path(), 8), (large.path(), 9)] {
        let proxy = Proxy::before(moto.addr).await;
        let store = proxy.store("archive");
        proxy.faulty(seed);
        let mut runs = 0;
        let said = loop {
            let (ended, said) = once(&proxy, data, &["--seal", "--read-back"]).await;
            runs += 1;
            match ended.code {
                Some(0) => break said,
                Some(1) => assert!(ended.err.contains("not collected: main/s"), "{}", ended.err),
                _ => panic!("{ended:?}"),
            }
            assert!(runs < 20, "seed {seed}: {}", ended.err);
        };
        assert!(proxy.faulted() > 3, "seed {seed}: hardly anything went wrong");
        assert_eq!(said["left"], 0, "{said}");
        proxy.well();
        is_whole(&store, data).await;
        only_once(&proxy);
        anew(&store, data).await;
    }
    stage.close();
}

/// Waits until a page of the admin listener has a text.
async fn until(agent: &Up, path: &str, text: &str) -> String {
    let url: reqwest::Url = format!("{}{path}", agent.line("admin")).parse().expect("a URL");
    within(text, async {
        loop {
            let page = fetched::client().get(url.clone()).send().await.expect("it answers");
            let page = page.text().await.expect("text");
            if page.contains(text) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_says_that_its_permission_is_gone_and_goes_on_when_it_is_back() {
    let (moto, stage) = tokio::join!(Moto::start(), of_many());
    let proxy = Proxy::before(moto.addr).await;
    proxy.deny();
    let words = ["--watch", "--seal", "--admin", "127.0.0.1:0"];
    let mut agent = Up::run_until(collect(&proxy, stage.data(), &words), "admin").await;
    until(&agent, "/readyz", "the store refuses").await;
    let left = until(&agent, "/metrics", "castctl_collect_left_extents").await;
    assert!(!left.contains("castctl_collect_left_extents 0"), "{left}");
    agent.process.says("something can't be collected").await;
    proxy.well();
    agent.process.says("everything that is sealed is collected again").await;
    let page = until(&agent, "/metrics", "castctl_collect_left_extents 0").await;
    let n = extents(stage.data()).len();
    assert!(page.contains(&format!("castctl_collect_uploaded_extents_total {n}")), "{page}");
    // A second collector on the same directory would only repeat it.
    let (second, _) = once(&proxy, stage.data(), &[]).await;
    assert_eq!(second.code, Some(3), "{second:?}");
    assert!(second.err.contains("another castctl collects the data directory"), "{}", second.err);
    agent.process.signal(Signal::TERM);
    let ended = agent.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    is_whole(&proxy.store("archive"), stage.data()).await;
    only_once(&proxy);
    stage.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_end_says_what_it_could_not_bring() {
    let (moto, stage) = tokio::join!(Moto::start(), of_many());
    let proxy = Proxy::before(moto.addr).await;
    proxy.deny();
    let words = ["--watch", "--admin", "127.0.0.1:0", "--finish-within", "1s"];
    let agent = Up::run_until(collect(&proxy, stage.data(), &words), "admin").await;
    until(&agent, "/readyz", "the store refuses").await;
    agent.process.signal(Signal::TERM);
    let ended = agent.process.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("not collected: main/s1/g1: "), "{}", ended.err);
    stage.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().to_str().expect("a path");
    for (words, said) in [
        (&["collect"][..], "--to"),
        (&["collect", "--to", "ftp://x/y", "--data", data], "ftp:// is no store that is known"),
        (&["collect", "--to", "s3://x", "--data", "/nowhere"], "there is no data directory"),
        (&["collect", "--serve-only", "--once"], "--once"),
        (&["collect", "--to", "s3://x", "--concurrency", "0"], "a number from 1 to 64"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
        let ended = run(command.args(words)).await;
        assert_eq!(ended.code, Some(2), "{words:?}: {ended:?}");
        assert!(ended.err.contains(said), "{words:?}: {}", ended.err);
    }
}

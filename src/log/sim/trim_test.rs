//! A log is trimmed, or removed, and whoever does it is killed, or the power goes out, at every
//! step: the log begins where it is said to, and everything from there on is as it was.

use crate::log::dir::LogDir;
use crate::log::format::Position;
use crate::log::format::record::Record;
use crate::log::fs::FileSystem;
use crate::log::id::extent_index;
use crate::log::options::{Options, Sync};
use crate::log::reader::{Place, there};
use crate::log::recover::{Recovered, close};
use crate::log::sim::disk::{Fault, Rng, SimDisk};
use crate::log::sim::drive::{Author, DATA, Process, Story, id};
use crate::log::sim::image::{compare, names, read};
use crate::log::trim::{is_being_removed, remove, trim};
use crate::media::timeline::mark::Mark;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Stories of each kind.
const SEEDS: u64 = 12;

/// More than any of this takes.
const STEPS_MOST: u64 = 200;

fn dir() -> PathBuf {
    id(1).dir(Path::new(DATA))
}

fn options() -> Options {
    Options { sync: Sync::Never, extent_bytes: 6000, low_space: 0, ..Options::default() }
}

/// A writer's day, ended well or broken off.
fn day(seed: u64, ends: bool) -> (SimDisk, Story) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (disk, mut rng) = (SimDisk::new(Path::new(DATA), seed, &[]), Rng(seed));
    let sync = Options { sync: Sync::EachSegment, ..options() };
    let mut process = Process::start(&disk, sync).expect("started");
    let mut author = runtime.block_on(Author::begin(&process, 1, 100)).expect("begun");
    for _ in 0..120 {
        author.step(&mut process, &mut rng);
    }
    process.write();
    process.sync(true);
    if ends {
        author.end(&mut process);
    }
    author.forget(process);
    (disk, author.story)
}

/// Makes the extents up to `to` durable, as a collector does.
fn collect(disk: &SimDisk, to: u32) {
    let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
    let log = LogDir::on(&fs, &dir()).expect("a log");
    for extent in (0..=to).filter(|n| log.extents().contains(n)) {
        let carried = crate::log::carried::Carried::open(&log, extent).expect("readable");
        carried.expect("sealed").verify(&mut |_| ()).expect("sound");
    }
    disk.sync_dir(&dir()).expect("synced");
}

/// The log, sealed in its writer's place, is `story` from its beginning on; that beginning.
fn check(disk: &SimDisk, story: &Story, safe: Position) -> Result<(u32, Recovered), String> {
    let place_dir = dir();
    let recovered =
        close(Place::of(disk, &place_dir, &id(1)), None).map_err(|e| format!("recovery: {e}"))?;
    let first = there(disk, &dir()).map_err(|e| e.to_string())?.0.map_or(0, |t| t.first);
    let got = read(disk, &id(1))?;
    let records = story.records.iter().filter(|(at, _)| at.extent >= first).cloned().collect();
    compare(&Story { records, ..Story::default() }, safe, &got)?;
    let Record::Mark(Mark::Generation(start)) = &story.records[0].1 else { unreachable!() };
    if recovered.start.as_ref() != Some(start) {
        return Err(format!("the log began with {:?}", recovered.start));
    }
    let last = there(disk, &dir()).map_err(|e| e.to_string())?.1.pop();
    match last.map(|last| last + 1) == Some(recovered.extents) {
        true => Ok((first, recovered)),
        false => Err(format!("{} extents, the last is {last:?}", recovered.extents)),
    }
}

fn left(disk: &SimDisk) -> Vec<u32> {
    let mut all: Vec<u32> = names(disk, &id(1)).iter().filter_map(|n| extent_index(n)).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_trim_that_is_cut_off_anywhere_leaves_a_log_that_begins_where_it_says() {
    let mut cut_off = 0;
    for seed in 0..SEEDS {
        let (disk, story) = day(seed, seed % 2 == 0);
        let sealed = left(&disk).len() as u32 - 1;
        assert!(sealed > 4, "{sealed} extents");
        let to = 1 + Rng(seed).below(sealed as usize - 2) as u32;
        collect(&disk, to);
        let whole = check(&disk.after_kill(seed, &[]), &story, story.durable).expect("untouched").1;
        for step in 1..STEPS_MOST {
            let at = |what: &str| format!("seed {seed}, step {step}, to {to}: {what}");
            let sick = disk.after_kill(seed, &[Fault::Power(step)]);
            let done = trim(&sick, &dir(), &id(1), to);
            assert_eq!(done.is_ok(), !sick.is_dead(), "{}", at("it says how it went"));
            cut_off += u64::from(done.is_err());
            let killed = sick.after_kill(seed, &[]);
            let crashed = sick.after_crash(seed ^ step, &[]);
            for (machine, safe) in [(killed, story.visible), (crashed, story.durable)] {
                let (first, again) =
                    check(&machine, &story, safe).unwrap_or_else(|e| panic!("{}", at(&e)));
                assert!(first == 0 || first == to, "{}", at("it begins elsewhere"));
                assert!(done.is_err() || first == to, "{}", at("it was done"));
                assert!(again.extents <= whole.extents, "{}", at("more than there were"));
                // The next one ends it, and nothing of what stays is touched.
                let before = machine.files();
                trim(&machine, &dir(), &id(1), to)
                    .unwrap_or_else(|e| panic!("{}", at(&e.to_string())));
                assert_eq!(left(&machine).first(), Some(&to), "{}", at("what it leaves"));
                let same = |n: &u32| {
                    let path = dir().join(crate::log::id::extent_name(*n));
                    machine.files()[&path] == before[&path]
                };
                assert!(left(&machine).iter().all(same), "{}", at("what stays"));
                check(&machine, &story, safe).unwrap_or_else(|e| panic!("{}", at(&e)));
            }
            if done.is_ok() {
                break;
            }
        }
    }
    assert!(cut_off > SEEDS * 4, "{cut_off} were cut off");
}

#[test]
fn a_removal_that_is_cut_off_anywhere_leaves_all_or_nothing_to_read() {
    let (mut all, mut nothing) = (0, 0);
    for seed in 0..SEEDS {
        let (disk, story) = day(seed, true);
        collect(&disk, left(&disk).len() as u32 - 1);
        let mark = dir().join("00000000.collected");
        disk.open(&mark, crate::log::fs::Open::Create).expect("made").sync_data().expect("synced");
        disk.sync_dir(&dir()).expect("synced");
        let own = |name: &str| name.ends_with(".collected");
        if seed % 3 == 0 {
            trim(&disk, &dir(), &id(1), 2).expect("trimmed");
        }
        for step in 1..STEPS_MOST {
            let sick = disk.after_kill(seed, &[Fault::Power(step)]);
            let done = remove(&sick, &dir(), &id(1), &own);
            let crashed = match seed % 2 {
                0 => sick.after_kill(seed, &[]),
                _ => sick.after_crash(seed ^ step, &[]),
            };
            if there(&crashed, &dir()).expect("readable").1.is_empty() {
                nothing += 1;
            } else {
                let begun = is_being_removed(&crashed, &dir()).expect("readable");
                assert!(done.is_err() && !begun, "seed {seed}, step {step}");
                check(&crashed, &story, story.durable).expect("all of it is there");
                all += 1;
            }
            if !names(&crashed, &id(1)).is_empty() {
                let ended = remove(&crashed, &dir(), &id(1), &own).expect("done");
                assert!(ended.is_some(), "seed {seed}, step {step}: {:?}", names(&crashed, &id(1)));
                assert!(
                    crashed.list(&dir()).is_err(),
                    "seed {seed}, step {step}: it is still there"
                );
            }
            if let Ok(done) = done {
                let done = done.expect("removed");
                assert!(done.extents > 3 && done.bytes > 10_000, "{done:?}");
                break;
            }
        }
    }
    assert!(all > SEEDS && nothing > SEEDS, "{all} {nothing}");
}

#[test]
fn a_trimmed_log_whose_beginning_is_lost_is_refused_and_left() {
    let (disk, _) = day(3, false);
    collect(&disk, 3);
    trim(&disk, &dir(), &id(1), 3).expect("trimmed");
    let file = dir().join("trimmed");
    let extent = dir().join("00000003.extent");
    type Break = fn(&SimDisk, &Path, &Path);
    let breaks: [(Break, &str); 3] = [
        (|disk, _, extent| disk.remove(extent).expect("removed"), "extent 3"),
        (
            |disk, _, extent| {
                let mut bytes = disk.files().remove(extent).expect("there");
                bytes.truncate(bytes.len() - 20);
                disk.set(extent, bytes);
            },
            "its footer cannot be read, and what was before it is removed",
        ),
        (
            |disk, file, _| {
                let mut bytes = disk.files().remove(file).expect("there");
                bytes[9] ^= 1;
                disk.set(file, bytes);
            },
            "it does not say where the log begins; castctl repair /data/logs/stage/s3/g1",
        ),
    ];
    for (damage, said) in breaks {
        let disk = disk.after_kill(1, &[]);
        damage(&disk, &file, &extent);
        let before = disk.files();
        let place_dir = dir();
        let e = close(Place::of(&disk, &place_dir, &id(1)), None).expect_err("refused").to_string();
        assert!(e.contains(said) || e.contains("00000003.extent"), "{said}: {e}");
        assert_eq!(disk.files(), before, "nothing is touched");
        if !said.starts_with("its footer") {
            trim(&disk, &dir(), &id(1), 5).expect_err("nothing is removed behind it");
        }
    }
}

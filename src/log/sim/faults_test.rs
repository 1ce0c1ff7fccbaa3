//! A writer's day, one fault in it, a restart: thousands of times, each from a seed. A seed that
//! fails names itself; `SIM_SEED=n cargo test --lib sim::` runs it alone, `SIM_SEEDS=n` runs n.

use crate::log::format::Position;
use crate::log::format::record::Record;
use crate::log::io::RESERVE;
use crate::log::recover::Recovered;
use crate::log::sim::disk::{Fault, Rng, SimDisk};
use crate::log::sim::drive::{Author, DATA, Process, Story, id, options};
use crate::log::sim::image::{agrees, compare, msns, names, read, whole};
use crate::media::timeline::mark::Mark;
use std::path::Path;

/// How many seeds `cargo test` runs of each kind.
const SEEDS: u64 = 1200;

/// What happens to a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kill,
    Power,
    Full,
    Sync,
    /// The machine crashes, and then its disk does not give back all it has.
    Read,
}

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|v: String| v.parse::<u64>().ok());
    match (number("SIM_SEED"), number("SIM_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, n) => (0..n.unwrap_or(SEEDS)).collect(),
    }
}

fn run(kind: Kind) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (mut changed, mut cut, mut mid) = (0, 0, 0);
    for seed in seeds() {
        match runtime.block_on(one(kind, seed)) {
            Ok((recovered, again)) => {
                changed += usize::from(recovered.is_some());
                cut += usize::from(recovered.is_some_and(|r| r.cut.is_some()));
                mid += usize::from(again);
            }
            Err(what) => panic!(
                "{what}\n  {kind:?}, seed {seed}: SIM_SEED={seed} cargo test --lib sim:: alone"
            ),
        }
    }
    // A test of recovery in which nothing is recovered would prove nothing.
    if seeds().len() > 100 {
        assert!(changed > seeds().len() / 6, "{changed} of {} were sealed", seeds().len());
        assert!(kind != Kind::Power || cut > seeds().len() / 20, "{cut} were cut");
        assert!(mid > seeds().len() / 10, "{mid} recoveries were interrupted");
    }
}

/// One story: what recovery did in the end, and whether it was interrupted before.
async fn one(kind: Kind, seed: u64) -> Result<(Option<Recovered>, bool), String> {
    let mut rng = Rng(seed);
    let options = options(&mut rng);
    let fault = match kind {
        Kind::Kill | Kind::Read => None,
        Kind::Power => Some(Fault::Power(4 + rng.below(80) as u64)),
        Kind::Full => Some(Fault::Full(1 + rng.below(70) as u64)),
        Kind::Sync => Some(Fault::Sync(1 + rng.below(25) as u64)),
    };
    let disk = SimDisk::new(Path::new(DATA), seed, &Vec::from_iter(fault));
    let story = live(&disk, &options, &mut rng).await;
    // A machine that goes on keeps its page cache; one that crashes does not.
    let killed = kind == Kind::Kill || (kind != Kind::Power && rng.one_in(3));
    let sick = Fault::Read(1 + rng.below(40) as u64, rng.one_in(2));
    let seen = disk.files();
    let mut faults =
        if rng.one_in(2) { vec![Fault::Power(1 + rng.below(12) as u64)] } else { vec![] };
    if kind == Kind::Read {
        faults = vec![sick];
    }
    let mut now = match killed {
        true => disk.after_kill(seed, &faults),
        false => disk.after_crash(seed, &faults),
    };
    let safe = if killed { story.visible } else { story.durable };
    let (found, mut failed) = (whole(&now.files()), false);
    let mut first = recover(&now, &options).await;
    if kind == Kind::Read && now.has_failed() {
        // The log is left for when the disk is well again, and nothing of it is lost meanwhile.
        let kept = whole(&now.files());
        if let Some(lost) = found.difference(&kept).next() {
            return Err(format!("a whole record of {} bytes went with a failed read", lost.len()));
        }
        now = now.after_kill(seed, &[]);
        first = recover(&now, &options).await;
        failed = true;
    }
    let interrupted = first.is_err() || now.is_dead();
    now = match interrupted {
        true => now.after_crash(seed.wrapping_add(1), &[]),
        false => now.after_kill(seed, &[]),
    };
    // What only the page cache held went with the second crash.
    let safe = if interrupted { story.durable.min(safe) } else { safe };
    let recovered = if interrupted { recover(&now, &options).await? } else { first? };
    check(&now, &story, safe, recovered.as_ref())?;
    let never = options.sync == crate::log::options::Sync::Never;
    if kind == Kind::Full && story.ended.is_some() && (killed && !interrupted || !never) {
        let last = read(&now, &id(1))?.pop().map(|r| r.1);
        if last != story.ended.map(|end| Record::Mark(Mark::End(end))) {
            return Err(format!("its end was recorded, and its last record is {last:?}"));
        }
    }
    if !interrupted {
        let kept = whole(&now.files());
        if let Some(lost) = found.difference(&kept).next() {
            return Err(format!("a whole record of {} bytes is nowhere any more", lost.len()));
        }
    }
    let before = now.files();
    if recover(&now, &options).await?.is_some() || now.files() != before {
        return Err("recovering again found something to do".into());
    }
    if killed && !interrupted && recovered.is_none() && story.sealed.is_some() && seen != before {
        // Only the note that it is sealed may be new.
        let news = before.keys().filter(|p| !seen.contains_key(*p)).count();
        if news > 1 || seen.iter().any(|(p, b)| before.get(p) != Some(b)) {
            return Err("a sealed log was touched".into());
        }
    }
    next_generation(&now, &options, &mut rng, seed).await?;
    Ok((recovered, interrupted || failed))
}

/// A day: until something fails or the day is over.
async fn live(disk: &SimDisk, options: &crate::log::options::Options, rng: &mut Rng) -> Story {
    let Ok(mut process) = Process::start(disk, options.clone()) else { return Story::default() };
    let Ok(mut author) = Author::begin(&process, 1, 100).await else { return Story::default() };
    for _ in 0..rng.below(90) {
        author.step(&mut process, rng);
        if author.stopped() && !rng.one_in(5) {
            break;
        }
    }
    match rng.below(4) {
        0 if !author.stopped() => author.end(&mut process),
        0..=2 if author.stopped() => author.seal(&mut process),
        _ => {}
    }
    author.forget(process);
    if let (Some(sealed), true) =
        (author.story.sealed, options.sync != crate::log::options::Sync::Never)
    {
        author.story.durable = sealed;
    }
    if let Some(sealed) = author.story.sealed {
        author.story.visible = sealed;
    }
    author.story
}

/// A restart: `None` when there was nothing to recover.
async fn recover(
    disk: &SimDisk,
    options: &crate::log::options::Options,
) -> Result<Option<Recovered>, String> {
    let process = Process::start(disk, options.clone()).map_err(|e| e.to_string())?;
    let mut all = process.logs.recover().await.map_err(|e| e.to_string())?;
    Ok(all.pop())
}

fn check(
    disk: &SimDisk,
    story: &Story,
    safe: Position,
    recovered: Option<&Recovered>,
) -> Result<(), String> {
    let names = names(disk, &id(1));
    let records = read(disk, &id(1)).map_err(|e| format!("{e}; there are {names:?}"))?;
    compare(story, safe, &records).map_err(|e| format!("{e}; there are {names:?}"))?;
    let Some(r) = recovered else { return Ok(()) };
    agrees(r, &records)?;
    let extents = names.iter().filter(|n| n.ends_with(".extent")).count();
    if r.extents as usize != extents {
        return Err(format!("recovery says {} extents, there are {extents}", r.extents));
    }
    Ok(())
}

/// The channel goes on: the next writer's numbers are above all there are.
async fn next_generation(
    disk: &SimDisk,
    options: &crate::log::options::Options,
    rng: &mut Rng,
    seed: u64,
) -> Result<(), String> {
    let before = msns(&read(disk, &id(1))?);
    let base = before.iter().max().map_or(100, |m| m + 1);
    let mut process = Process::start(disk, options.clone()).map_err(|e| e.to_string())?;
    let mut author = Author::begin(&process, 2, base).await.map_err(|e| e.to_string())?;
    for _ in 0..15 {
        author.step(&mut process, rng);
    }
    author.end(&mut process);
    let after = read(disk, &id(2))?;
    if msns(&after).iter().any(|m| before.contains(m)) || author.numbers().0 != base {
        return Err(format!("a number is used twice, seed {seed}"));
    }
    let all = author.story.records.last().map_or(Position::default(), |(at, _)| *at);
    compare(&author.story, Position { offset: all.offset + 1, ..all }, &after)
}

#[test]
fn a_killed_process_loses_nothing_that_was_visible() {
    run(Kind::Kill);
}

#[test]
fn a_power_cut_loses_nothing_that_was_durable_and_invents_nothing() {
    run(Kind::Power);
}

#[test]
fn a_full_disk_loses_nothing_and_the_log_is_sealed_on_it() {
    run(Kind::Full);
}

#[test]
fn a_read_that_fails_is_not_taken_for_a_tear() {
    run(Kind::Read);
}

#[test]
fn the_end_of_a_generation_has_its_room_however_large_the_footer_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for gaps in [0, 4500] {
        let (disk, mut rng) = (SimDisk::new(Path::new(DATA), 1, &[]), Rng(1));
        let options = crate::log::options::Options { low_space: 0, ..Default::default() };
        let mut process = Process::start(&disk, options).expect("started");
        let mut author = runtime.block_on(Author::begin(&process, 1, 100)).expect("begun");
        for _ in 0..gaps {
            author.gap();
        }
        let extent = id(1).dir(Path::new(DATA)).join("00000000.extent");
        // More than is reserved at a time: the least that is left is met.
        for _ in 0..900 {
            author.step(&mut process, &mut rng);
            process.write();
            assert!(disk.spare(&extent) > gaps * 3 * 57, "a footer has every gap again");
        }
        // And of that as little as there ever is.
        while gaps == 0 && disk.spare(&extent) > RESERVE + 4000 {
            author.step(&mut process, &mut rng);
            process.write();
        }
        disk.fill();
        (0..8).for_each(|_| author.picture(&mut rng));
        author.end(&mut process);
        let last = author.story.records.last().cloned();
        let got = read(&disk, &id(1)).expect("sealed");
        assert_eq!((author.story.sealed.is_some(), got.last().cloned()), (true, last), "{gaps}");
    }
}

#[test]
fn a_failed_sync_is_not_taken_for_a_good_one() {
    run(Kind::Sync);
}

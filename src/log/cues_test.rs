//! Cues in a log: an extent begins with those that its readers have to know.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::{MICROS, Wall};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::{Options, Sync};
use crate::log::repeats::CUES_REPEATED_MAX;
use crate::media::timeline::cue::Cue;
use crate::media::timeline::mark::{GenerationStart, Mark, SegmentStart};

fn cue(n: usize, start: i64, seconds: i64) -> Mark {
    Mark::Cue(Cue {
        id: format!("c{n}"),
        class: String::new(),
        start: Wall(start * MICROS),
        duration: seconds * MICROS,
        added: Wall(start * MICROS),
        data: "null".into(),
        repeated: false,
    })
}

fn segment(n: u64, wall: i64) -> Mark {
    Mark::SegmentStart(SegmentStart {
        track: TrackId::VIDEO,
        msn: Msn(n),
        dseq: 0,
        discontinuity: false,
        independent: true,
        wall: Wall(wall * MICROS),
        first_seq: Seq(0),
    })
}

/// Ids of the cues of each extent, those that are repeated apart.
async fn extents(logs: &Logs, id: &LogId) -> Vec<(Vec<String>, Vec<String>)> {
    let index = logs.index(id).await.expect("readable");
    let of = |repeated: bool, f: &crate::log::format::footer::Footer| -> Vec<String> {
        let cues = f.marks().filter_map(|m| match m.mark {
            Mark::Cue(cue) if cue.repeated == repeated => Some(cue.id),
            _ => None,
        });
        cues.collect()
    };
    index.footers.iter().map(|f| (of(true, f), of(false, f))).collect()
}

#[tokio::test]
async fn cues_are_repeated_until_they_are_long_over() {
    let data = tempfile::tempdir().expect("a directory");
    let options = Options {
        sync: Sync::Never,
        low_space: 0,
        extent_micros: 60 * MICROS,
        ..Options::default()
    };
    let logs = Logs::open(data.path(), options).expect("opens");
    let channel = "stage".parse().expect("a name");
    let (session, generation) = (Session(1), Generation(1));
    let id = LogId { channel, session, generation, rung: None };
    let start =
        GenerationStart { session, generation, job: None, base: Msn(1), dseq: 0, previous: None };
    let mut writer = logs.create(&id, start).await.expect("created");
    let roll = |writer: &mut crate::log::writer::Writer, n: u64, wall: i64| {
        writer.append_mark(&segment(n, wall)).expect("taken");
        assert!(writer.roll_if_due(wall * MICROS) || n == 1);
    };
    roll(&mut writer, 1, 0);
    for mark in [cue(0, 0, 0), cue(1, 0, 100), cue(2, 1000, 0)] {
        writer.append_mark(&mark).expect("taken");
    }
    // c0 was over at 0 s, c1 at 100 s, c2 begins at 1000 s; 300 s after its end one is forgotten.
    roll(&mut writer, 2, 300);
    roll(&mut writer, 3, 361);
    roll(&mut writer, 4, 461);
    for n in 0..CUES_REPEATED_MAX {
        writer.append_mark(&cue(10 + n, 461, 0)).expect("taken");
    }
    roll(&mut writer, 5, 522);
    writer.seal().await.expect("sealed");
    let found = extents(&logs, &id).await;
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert_eq!(found[0], (names(&[]), names(&["c0", "c1", "c2"])));
    assert_eq!(found[1].0, names(&["c0", "c1", "c2"]));
    assert_eq!(found[2].0, names(&["c1", "c2"]));
    assert_eq!(found[3].0, names(&["c2"]));
    let newest: Vec<String> = (0..CUES_REPEATED_MAX).map(|n| format!("c{}", 10 + n)).collect();
    assert_eq!(found[4], (newest, names(&[])), "the newest, as many as may be");
}

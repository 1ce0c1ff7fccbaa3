//! PART-TARGET of a session, from the lengths of its frames (draft-pantos-hls-rfc8216bis-22,
//! 4.4.3.7 and 4.4.4.9). Found once, when the session opens.

/// The shortest that a part may be, per mille of PART-TARGET, unless it ends its segment or comes
/// before a gap (draft-pantos-hls-rfc8216bis-22, 4.4.4.9).
const PART_LEAST_PER_MILLE: i64 = 850;

/// PART-TARGET in microseconds: `part` rounded up to whole frames, plus 2 ms so that timestamps in
/// milliseconds round without passing it. A frame's length is itself rounded down, so that six
/// frames of 33333 are 200 ms: what is less than a millisecond over is no frame more.
pub fn part_target(part: i64, frame: i64) -> i64 {
    let frames = (part - 999 + frame - 1) / frame.max(1);
    frames.max(1) * frame + 2_000
}

/// PART-TARGET in microseconds for tracks with frames of these lengths, the leader's first:
/// [`part_target`] of the leader's, unless whole frames of another track fill too little of that
/// (packets of Opus have up to 120 ms): then rounded up to whole frames of it.
pub fn common_part_target(part: i64, frames: &[i64]) -> i64 {
    let lead = frames.first().map_or(part, |f| part_target(part, *f));
    frames.iter().fold(lead, |target, frame| {
        let frame = (*frame).max(1);
        let fills = target / frame * frame;
        let enough = fills * 1_000 >= target * PART_LEAST_PER_MILLE;
        if enough { target } else { part_target(target, frame) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_whole_frames_and_rounding_makes_no_frame() {
        for (part, frame, frames) in [
            (200_000, 33_333, 6),
            (200_000, 33_366, 6),
            (500_000, 33_333, 15),
            (500_000, 40_000, 13),
            (100_000, 16_667, 6),
            (200_000, 21_333, 10),
            (500, 33_333, 1),
        ] {
            assert_eq!(part_target(part, frame), frames * frame + 2_000, "{part} {frame}");
        }
    }

    #[test]
    fn parts_hold_whole_frames_of_every_track() {
        for (name, part, frames, want) in [
            ("picture alone", 200_000, &[40_000][..], 202_000),
            ("AAC fills enough", 200_000, &[40_000, 21_333], 202_000),
            ("Opus of 20 ms", 200_000, &[33_333, 20_000], part_target(200_000, 33_333)),
            ("Opus of 60 ms fills enough", 200_000, &[40_000, 60_000], 202_000),
            ("Opus of 120 ms does not", 200_000, &[40_000, 120_000], 242_000),
            ("sound alone", 200_000, &[120_000], 242_000),
            ("nothing known", 200_000, &[], 200_000),
        ] {
            let target = common_part_target(part, frames);
            assert_eq!(target, want, "{name}");
            for frame in frames {
                let most = target / frame * frame;
                assert!(most * 1000 >= target * PART_LEAST_PER_MILLE, "{name}: {most} of {target}");
            }
        }
    }
}

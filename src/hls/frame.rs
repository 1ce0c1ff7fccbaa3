//! What stands around the segments of a playlist: header, hints of what comes next, reports of the
//! other renditions. `hls::playlist` and `hls::rewind` put it before and behind the lines.

use crate::base::ids::Msn;
use crate::base::time::MICROS;
use crate::hls::lookup::Position;
use crate::hls::playlist::View;
use crate::hls::text::Seconds;
use crate::hls::window::{SKIP_TARGET_DURATIONS, Window};
use crate::media::timeline::mark::SessionRecord;
use std::fmt::{Display, Write};

/// EXT-X-VERSION of a full playlist.
pub(super) const VERSION: u32 = 6;

/// EXT-X-VERSION of a delta update.
pub(super) const VERSION_SKIP: u32 = 9;

/// EXT-X-VERSION of a delta update that leaves out date ranges.
const VERSION_SKIP_RANGES: u32 = 10;

/// What the header of a playlist that begins in the past has besides: nothing is ever removed from
/// it, and players begin where it begins (4.4.2.2).
pub(super) const BEGINS: &str =
    "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0,PRECISE=YES\n";

/// The first version of the renderer whose playlists say CAN-SKIP-DATERANGES, and mean it.
const SKIPS_RANGES: u32 = 2;

/// The first version of the renderer whose delta updates say the init section in force.
const SAYS_INIT: u32 = 3;

/// `write!` to a `String` returns an error that cannot happen.
const MEMORY: &str = "writing to memory cannot fail";

/// The header of a playlist whose first segment has these numbers.
pub(super) fn header(session: &SessionRecord, (msn, dseq): (Msn, u64), version: u32) -> String {
    let skips = if session.render >= SKIPS_RANGES { ",CAN-SKIP-DATERANGES=YES" } else { "" };
    format!(
        "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,\
         PART-HOLD-BACK={},HOLD-BACK={},CAN-SKIP-UNTIL={}{skips}\n\
         #EXT-X-PART-INF:PART-TARGET={}\n#EXT-X-MEDIA-SEQUENCE:{msn}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{dseq}\n",
        session.target_duration,
        Seconds(session.part_hold_back()),
        Seconds(session.hold_back()),
        Seconds(SKIP_TARGET_DURATIONS * i64::from(session.target_duration) * MICROS),
        Seconds(session.part_target),
    )
}

/// The date ranges of a delta update without old ones.
#[derive(Debug)]
pub(super) struct NewRanges {
    /// EXT-X-VERSION of the update.
    pub(super) version: u32,
    removed: String,
    lines: String,
}

impl NewRanges {
    /// The update's first lines, after its header.
    pub(super) fn head(&self, mut header: String, skipped: usize) -> String {
        let NewRanges { removed, lines, .. } = self;
        write!(
            header,
            "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped},\
             RECENTLY-REMOVED-DATERANGES=\"{removed}\"\n{lines}"
        )
        .expect(MEMORY);
        header
    }
}

/// What a delta update without old date ranges has of them; `None` where there is no such update.
pub(super) fn new_ranges(window: &Window, view: View) -> Option<NewRanges> {
    let now = window.end_wall().filter(|_| window.session.render >= SKIPS_RANGES)?;
    let update = match view {
        View::Live => window.cues.live_update(now),
        View::Dvr => window.cues.dvr_update(now),
    };
    let version = if update.skips { VERSION_SKIP_RANGES } else { VERSION_SKIP };
    Some(NewRanges { version, removed: update.removed, lines: update.lines })
}

/// EXT-X-MAP of a delta update whose first segment has none of its own: the one in force was said
/// among what is skipped. The segment has it either way; shaka-player 5.2 reads an update by itself
/// and places no media of unknown timescale after a discontinuity.
pub(super) fn init_in_force(window: &Window) -> String {
    let mut out = String::new();
    if window.session.render < SAYS_INIT {
        return out;
    }
    let first = window.segments.get(window.skip);
    let before = |msn: Msn| match window.skip.checked_sub(1) {
        Some(at) => window.segments.get(at).and_then(|s| s.init),
        None => window.past.segment(Msn(msn.0.checked_sub(1)?)).and_then(|old| old.init),
    };
    if let Some(first) = first.filter(|s| before(s.msn) == s.init)
        && let Some(init) = first.init.and_then(|i| window.inits.get(i as usize))
    {
        window.text.map(&mut out, &init.hash);
    }
    out
}

/// Nothing follows.
pub(super) const END: &str = "#EXT-X-ENDLIST\n";

/// What comes next.
pub(super) fn hints(window: &Window) -> String {
    let mut out = String::with_capacity(512);
    // The init section first: it is needed first, and players that know one hint take the last.
    if let Some(file) = window.init_hint() {
        window.text.hint(&mut out, "MAP", &file);
    }
    if let Some(file) = window.hint() {
        window.text.hint(&mut out, "PART", &file);
    }
    out
}

/// Where the playlist `file` of another rendition ends.
pub(super) fn report(out: &mut String, rendition: &str, file: &dyn Display, at: Position) {
    // LAST-PART is required (4.4.5.4). A gap that was written as a whole has every part that is
    // asked for (`hls::reload::decide`): its first stands for it.
    let (msn, part) = (at.msn, at.part.unwrap_or(0));
    writeln!(
        out,
        "#EXT-X-RENDITION-REPORT:URI=\"../{rendition}/{file}\",LAST-MSN={msn},LAST-PART={part}"
    )
    .expect(MEMORY);
}

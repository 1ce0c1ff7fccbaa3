//! Gaps by the clock: while the encoder is away the playlists keep their pace, part by part,
//! segment by segment.

use crate::base::ids::Msn;
use crate::base::time::{Mono, Now, Wall};
use crate::media::timeline::cut::{Config, GAPS_MAX, ROUNDING};
use std::time::Duration;

/// One absent part (`part` is `Some`) or whole segment, for every track alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) msn: Msn,
    pub(super) part: Option<u32>,
    pub(super) duration: i64,
    pub(super) wall: Wall,
}

/// The gap segment being written.
#[derive(Debug, Clone, Copy)]
struct Open {
    msn: Msn,
    start: Wall,
    parts: u32,
}

/// Whether gaps are being written, and how far they reach.
#[derive(Debug, Default)]
pub(super) struct Away {
    cursor: Option<Wall>,
    next: Mono,
    open: Option<Open>,
}

impl Away {
    /// When the next part is due; `None` while the encoder is here.
    pub(super) fn next(&self) -> Option<Mono> {
        self.cursor.map(|_| self.next)
    }

    /// Gaps begin at `end`, the end of what is listed.
    pub(super) fn begin(&mut self, end: Wall) {
        self.cursor = Some(end);
        self.open = None;
    }

    /// Everything that is due by now: whole segments for the time that passed unseen, then parts.
    pub(super) fn advance(&mut self, now: Now, config: &Config, next_msn: &mut Msn) -> Vec<Piece> {
        let Some(mut cursor) = self.cursor else { return Vec::new() };
        let mut out = Vec::new();
        let part = config.part_target;
        // The machine's clock was set: the date moves on, the numbers do not.
        let earliest = now.wall.plus(-GAPS_MAX.saturating_mul(config.segment));
        if cursor < earliest {
            out.extend(self.finish_open(cursor));
            cursor = earliest;
        }
        while self.open.is_none() && now.wall.since(cursor) >= config.segment {
            let msn = *next_msn;
            *next_msn = msn.next();
            out.push(Piece { msn, part: None, duration: config.segment, wall: cursor });
            cursor = cursor.plus(config.segment);
        }
        while now.wall.since(cursor) >= part {
            let open = *self.open.get_or_insert_with(|| {
                let msn = *next_msn;
                *next_msn = msn.next();
                Open { msn, start: cursor, parts: 0 }
            });
            out.push(Piece { msn: open.msn, part: Some(open.parts), duration: part, wall: cursor });
            cursor = cursor.plus(part);
            self.open = Some(Open { parts: open.parts + 1, ..open });
            // A segment ends when one more part would outgrow the aim, or the limit.
            let most = (config.segment + part / 2).min(config.target_duration + ROUNDING);
            if cursor.plus(part).since(open.start) > most {
                out.extend(self.finish_open(cursor));
            }
        }
        self.cursor = Some(cursor);
        let wait = u64::try_from(cursor.plus(part).since(now.wall)).unwrap_or(0);
        self.next = now.mono.plus(Duration::from_micros(wait));
        out
    }

    fn finish_open(&mut self, cursor: Wall) -> Option<Piece> {
        let open = self.open.take()?;
        let duration = cursor.since(open.start);
        Some(Piece { msn: open.msn, part: None, duration, wall: open.start })
    }

    /// Gaps end here; the segment in progress is complete with the parts it has.
    pub(super) fn finish(&mut self) -> Option<Piece> {
        let cursor = self.cursor.take()?;
        self.finish_open(cursor)
    }
}

//! A writer whose log has more than was read of it when the next one begins: it said where it
//! ended, and who left it before (its node was silent) would list less under names that
//! others have more of. It is read on first.

use crate::base::ids::Writer;
use crate::base::time::Mono;
use crate::edge::line::Line;
use crate::edge::session::Opened;
use crate::media::timeline::mark::GenerationStart;
use std::time::Duration;

/// How long it is tried where viewers wait: a node that was killed is back within seconds, as is a
/// link that was down. Then what is missing is absent on this edge.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Pause before it is tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Behind {
    in_the_way: Option<Writer>,
    /// Until when it is tried to read this one on.
    trying: Option<(Writer, Mono)>,
}

impl Behind {
    /// The next writer begins: is there one to be read on first? That is tried for so long.
    pub(super) fn look(
        &mut self,
        start: &GenerationStart,
        (line, opened): (&Line, &Opened),
        now: Mono,
        patience: Duration,
    ) -> bool {
        let Some((of, end)) = &start.previous else { return false };
        let lacking = opened.of(line).find_map(|r| {
            let shelf = r.read();
            shelf.window.lacks(*of, end).then(|| shelf.window.current())?
        });
        let Some(lacking) = lacking else { return false };
        if self.trying.is_none_or(|(known, _)| known != lacking) {
            self.trying = Some((lacking, now.plus(patience)));
        }
        let tries = self.trying.is_some_and(|(_, until)| now < until);
        self.in_the_way = Some(lacking).filter(|_| tries);
        tries
    }

    /// Is one in the way? Nothing is taken of what comes behind it.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.in_the_way.is_some()
    }

    /// The one that is to be read on, and until when.
    pub(super) fn take(&mut self) -> Option<(Writer, Mono)> {
        self.in_the_way.take()?;
        self.trying
    }
}

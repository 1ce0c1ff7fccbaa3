//! Lets a source flow into a publisher on the clock.

use crate::replay::error::{PublishError, SourceError};
use crate::replay::publish::Publisher;
use crate::replay::source::Source;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Slowest and fastest pace besides `max`: beyond them somebody mistyped.
const SPEED_MIN: f64 = 0.01;
const SPEED_MAX: f64 = 1000.0;

/// How fast a recording is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded; positive.
    Times(f64),
    /// As fast as the server takes it.
    Max,
}

/// The word is neither `max` nor a number in range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no speed: write max, or a number from {SPEED_MIN} to {SPEED_MAX}")]
pub struct SpeedError(String);

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(s: &str) -> Result<Speed, SpeedError> {
        if s == "max" {
            return Ok(Speed::Max);
        }
        let number = s.strip_suffix('x').unwrap_or(s).parse().ok();
        let times = number.filter(|n| (SPEED_MIN..=SPEED_MAX).contains(n));
        times.map(Speed::Times).ok_or_else(|| SpeedError(s.to_owned()))
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speed::Times(n) => write!(f, "{n}x"),
            Speed::Max => f.write_str("max"),
        }
    }
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Media sent, microseconds.
    pub media: i64,
    /// Time it took so far.
    pub elapsed: Duration,
    /// Messages sent.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The recording.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The connection.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Sends everything the source has, each message when it is due; returns early when told to drain.
/// `progress` is kept current, so that it tells how far a failed replay came; `told` is called
/// after every message. Does not finish the publish.
pub async fn play(
    source: &mut Source,
    publisher: &mut Publisher,
    speed: Speed,
    (clock, drain): (&Clock, &Drain),
    progress: &mut Progress,
    mut told: impl FnMut(&Progress),
) -> Result<(), PlayError> {
    let start = clock.now().mono;
    while let Some(next) = source.next().await? {
        if let Speed::Times(times) = speed {
            let due = start.plus(Duration::from_micros((next.at as f64 / times) as u64));
            // The drain first: a replay that is late finds both ready every time.
            tokio::select! {
                biased;
                () = drain.wait() => return Ok(()),
                waited = publisher.wait_until(due) => waited?,
            }
        }
        tokio::select! {
            biased;
            () = drain.wait() => return Ok(()),
            sent = publisher.send(&next.message) => sent?,
        }
        progress.media = next.at;
        progress.elapsed = clock.now().mono.since(start);
        progress.messages += 1;
        progress.bytes += next.message.body.len() as u64;
        told(progress);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        for (text, want) in [
            ("max", Some(Speed::Max)),
            ("2", Some(Speed::Times(2.0))),
            ("0.5x", Some(Speed::Times(0.5))),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("fast", None),
        ] {
            assert_eq!(text.parse().ok(), want, "{text}");
        }
        for (limit, beyond) in [(SPEED_MIN, SPEED_MIN - 0.001), (SPEED_MAX, SPEED_MAX + 0.5)] {
            assert_eq!(limit.to_string().parse(), Ok(Speed::Times(limit)));
            let refused = beyond.to_string().parse::<Speed>().expect_err("beyond").to_string();
            let said =
                format!("\"{beyond}\" is no speed: write max, or a number from 0.01 to 1000");
            assert_eq!(refused, said);
        }
    }
}

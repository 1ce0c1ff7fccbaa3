//! Cues: something happens on a channel at a moment, and players are told: an advertisement, a
//! goal, a chapter. A cue becomes an EXT-X-DATERANGE of every playlist and an event in the media.
//!
//! A cue is a range of wall-clock time that is known when it is announced; one that happens at a
//! moment lasts 0. There is none that is still open: players that join must be told the whole
//! range, and a tag's attributes never change (draft-pantos-hls-rfc8216bis-22, 6.2.1).

use crate::base::time::{MICROS, Wall};
use serde::de::IgnoredAny;

/// Longest id in bytes: it stands in playlists, in delta updates' lists of ids, in metadata frames.
pub const CUE_ID_MAX: usize = 64;

/// Longest class in bytes: a name in reverse DNS order.
pub const CUE_CLASS_MAX: usize = 128;

/// Longest data in bytes. It stands in every version of every playlist while its cue does, up to
/// three times as long as it is.
pub const CUE_DATA_MAX: usize = 4 << 10;

/// Longest duration in microseconds. 12 hours are 2^31.9 ticks of 90 kHz, an event in the media has
/// 32 bits for them.
pub const CUE_DURATION_MAX: i64 = 12 * 3_600 * MICROS;

/// Something that happens on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// Its name in the session: 1 to [`CUE_ID_MAX`] of `A-Z a-z 0-9 . _ : / -`. Never used again.
    pub id: String,
    /// What kind of thing it is: as the id, or empty.
    pub class: String,
    /// When it begins.
    pub start: Wall,
    /// How long it lasts in microseconds; 0: it is a moment.
    pub duration: i64,
    /// When it was announced, on the time line of the segments' dates.
    pub added: Wall,
    /// What is to be known of it: JSON.
    pub data: String,
    /// It was announced before: repeated at the start of an extent, for who begins to read there.
    pub repeated: bool,
}

/// Why something is no cue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CueError {
    /// Its id.
    #[error("a cue's id has 1 to {CUE_ID_MAX} characters of A-Z a-z 0-9 . _ : / -")]
    Id,
    /// Its class.
    #[error("a cue's class has at most {CUE_CLASS_MAX} characters of A-Z a-z 0-9 . _ : / -")]
    Class,
    /// Its duration.
    #[error("a cue lasts from 0 to 12 hours")]
    Duration,
    /// Its data is too long.
    #[error("a cue's data has {0} bytes, {CUE_DATA_MAX} are allowed")]
    TooLong(usize),
    /// Its data is not JSON.
    #[error("a cue's data is not JSON: {0}")]
    Json(String),
}

impl Cue {
    /// When it is over.
    pub fn end(&self) -> Wall {
        self.start.plus(self.duration)
    }

    /// Can it be shown to players?
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), CueError> {
        if self.id.is_empty() || !is_word(&self.id, CUE_ID_MAX) {
            return Err(CueError::Id);
        }
        if !is_word(&self.class, CUE_CLASS_MAX) {
            return Err(CueError::Class);
        }
        if !(0..=CUE_DURATION_MAX).contains(&self.duration) {
            return Err(CueError::Duration);
        }
        if self.data.len() > CUE_DATA_MAX {
            return Err(CueError::TooLong(self.data.len()));
        }
        let json = serde_json::from_str::<IgnoredAny>(&self.data);
        json.map(|_| ()).map_err(|e| CueError::Json(e.to_string()))
    }
}

fn is_word(s: &str, max: usize) -> bool {
    s.len() <= max && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue() -> Cue {
        Cue {
            id: "ad-1".into(),
            class: "com.example:ad/1".into(),
            start: Wall(0),
            duration: 0,
            added: Wall(0),
            data: "{\"a\": [1, \"ä\\n\"]}".into(),
            repeated: false,
        }
    }

    #[test]
    fn what_can_be_shown_and_what_cannot() {
        assert_eq!(cue().check(), Ok(()));
        let word = |n: usize| "x".repeat(n);
        let text = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
        let too_long = "a cue's data has 4097 bytes, 4096 are allowed";
        for (cue, said) in [
            (Cue { id: word(CUE_ID_MAX), ..cue() }, None),
            (Cue { id: word(CUE_ID_MAX + 1), ..cue() }, Some("a cue's id has 1 to 64")),
            (Cue { id: String::new(), ..cue() }, Some("a cue's id")),
            (Cue { id: "a\tb".into(), ..cue() }, Some("a cue's id")),
            (Cue { id: "a\"b".into(), ..cue() }, Some("a cue's id")),
            (Cue { class: String::new(), ..cue() }, None),
            (Cue { class: word(CUE_CLASS_MAX), ..cue() }, None),
            (Cue { class: word(CUE_CLASS_MAX + 1), ..cue() }, Some("a cue's class")),
            (Cue { class: "ä".into(), ..cue() }, Some("a cue's class")),
            (Cue { duration: CUE_DURATION_MAX, ..cue() }, None),
            (Cue { duration: CUE_DURATION_MAX + 1, ..cue() }, Some("a cue lasts")),
            (Cue { duration: -1, ..cue() }, Some("a cue lasts")),
            (Cue { data: text(CUE_DATA_MAX), ..cue() }, None),
            (Cue { data: text(CUE_DATA_MAX + 1), ..cue() }, Some(too_long)),
            (Cue { data: String::new(), ..cue() }, Some("a cue's data is not JSON: EOF")),
            (Cue { data: "{a: 1}".into(), ..cue() }, Some("a cue's data is not JSON: key")),
            (Cue { data: "1 2".into(), ..cue() }, Some("a cue's data is not JSON: trailing")),
        ] {
            let got = cue.check().map_err(|e| e.to_string());
            match (got, said) {
                (Ok(()), None) => {}
                (Err(e), Some(said)) => assert!(e.starts_with(said), "{e}"),
                (got, said) => panic!("{said:?}: {got:?}"),
            }
        }
        // The longest lasts as many ticks as an event in the media can say.
        assert!(CUE_DURATION_MAX / MICROS * 90_000 < i64::from(u32::MAX));
    }
}

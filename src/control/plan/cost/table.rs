//! A machine's table: what it takes for one of each term. A YAML file; the ones that are built in
//! lie in `control/plan/machines`.

use crate::api::ladder::{AudioCodec, VideoCodec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Largest table in bytes: every preset of every codec is 4 KiB.
pub const FILE_MAX: usize = 64 << 10;

/// The machine whose table is used when none is named: the one that they are measured on.
pub const USUAL: &str = "epyc-9004";

/// The tables that are built in, by name.
const BUILT_IN: &[(&str, &str)] = &[(USUAL, include_str!("../machines/epyc-9004.yaml"))];

/// What work is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Millions of pixels a second.
    Pixels,
    /// Millions of bits a second.
    Bits,
    /// Frames a second.
    Frames,
}

impl By {
    const ALL: [By; 3] = [By::Pixels, By::Bits, By::Frames];

    fn word(self) -> &'static str {
        match self {
            By::Pixels => "pixels",
            By::Bits => "bits",
            By::Frames => "frames",
        }
    }
}

/// A term of the model. Written as in `encode h264 veryfast pixels`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub enum Term {
    /// Decoding.
    Decode(VideoCodec, By),
    /// Scaling: millions of pixels a second that are read.
    ScaleFrom,
    /// Scaling: ... that are written.
    ScaleTo,
    /// Encoding, with a preset by its place among the codec's.
    Encode(VideoCodec, usize, By),
    /// Sound, decoded and encoded.
    Sound(AudioCodec),
}

/// A term is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no term: write decode CODEC pixels|bits, scale from|to, encode CODEC PRESET \
     pixels|bits|frames, or sound CODEC"
)]
pub struct TermError(String);

impl FromStr for Term {
    type Err = TermError;

    fn from_str(text: &str) -> Result<Term, TermError> {
        let words: Vec<&str> = text.split(' ').collect();
        let by = |word: &str| By::ALL.into_iter().find(|b| b.word() == word);
        let term = match words[..] {
            ["decode", codec, word] => VideoCodec::of(codec)
                .zip(by(word).filter(|b| *b != By::Frames))
                .map(|(codec, by)| Term::Decode(codec, by)),
            ["scale", "from"] => Some(Term::ScaleFrom),
            ["scale", "to"] => Some(Term::ScaleTo),
            ["encode", codec, preset, word] => VideoCodec::of(codec)
                .and_then(|c| Some(Term::Encode(c, c.place(preset)?, by(word)?))),
            ["sound", codec] => {
                AudioCodec::ALL.into_iter().find(|c| c.word() == codec).map(Term::Sound)
            }
            _ => None,
        };
        term.ok_or_else(|| TermError(text.to_owned()))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Decode(codec, by) => write!(f, "decode {codec} {}", by.word()),
            Term::ScaleFrom => f.write_str("scale from"),
            Term::ScaleTo => f.write_str("scale to"),
            Term::Encode(codec, place, by) => {
                let preset = codec.presets().get(*place).copied().unwrap_or("?");
                write!(f, "encode {codec} {preset} {}", by.word())
            }
            Term::Sound(codec) => write!(f, "sound {}", codec.word()),
        }
    }
}

impl From<Term> for String {
    fn from(term: Term) -> String {
        term.to_string()
    }
}

/// What one kind of machine takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// What it is called.
    pub name: String,
    /// On what, with what and how it was measured.
    pub measured: String,
    /// Millicores for one of each term, none below zero. Terms of a codec or preset that was not
    /// measured are absent.
    pub rates: BTreeMap<Term, f64>,
}

/// A table as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: String,
    measured: String,
    rates: BTreeMap<String, f64>,
}

/// A table cannot be read: `machine.yaml:7:3: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct TableError {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Table {
    /// As [`Table::parse`] reads it.
    pub fn yaml(&self) -> String {
        serde_yaml::to_string(self).expect("plain data")
    }

    /// Reads a table; `file` is the name for the messages.
    ///
    /// # Errors
    /// It is too long, not YAML, or has a field, term or number that is none.
    pub fn parse(file: &str, text: &str) -> Result<Table, TableError> {
        let error = |line, column, message| TableError { file: file.into(), line, column, message };
        if text.len() > FILE_MAX {
            return Err(error(1, 1, format!("larger than the limit of {FILE_MAX} bytes")));
        }
        let written: Written = serde_yaml::from_str(text).map_err(|e| {
            let (line, column) = e.location().map_or((1, 1), |at| (at.line(), at.column()));
            let message = e.to_string();
            let place = format!(" at line {line} column {column}");
            error(line, column, message.strip_suffix(&place).unwrap_or(&message).to_owned())
        })?;
        let mut rates = BTreeMap::new();
        for (key, rate) in written.rates {
            let wrong = match key.parse::<Term>() {
                Ok(term) if rate.is_finite() && rate >= 0.0 => {
                    rates.insert(term, rate);
                    continue;
                }
                Ok(_) => format!("{key}: {rate} is no number of millicores"),
                Err(e) => e.to_string(),
            };
            let (line, column) = place(text, &key);
            return Err(error(line, column, wrong));
        }
        Ok(Table { name: written.name, measured: written.measured, rates })
    }

    /// The table of this name that is built in.
    pub fn built_in(name: &str) -> Option<Table> {
        let (name, text) = BUILT_IN.iter().find(|(n, _)| *n == name)?;
        Some(Table::parse(name, text).expect("a test reads every table that is built in"))
    }

    /// The table that counts where none is named.
    pub fn usual() -> Table {
        let (name, _) = BUILT_IN[0];
        Table::built_in(name).expect("it is the first of those that are")
    }

    /// The names of those that are built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }
}

/// Line and column, from 1, of a key that a text has.
fn place(text: &str, key: &str) -> (usize, usize) {
    let begins = |line: &&str| line.trim_start().trim_start_matches(['"', '\'']).starts_with(key);
    let found = text.lines().enumerate().find(|(_, line)| begins(line));
    found.map_or((1, 1), |(i, line)| (i + 1, line.len() - line.trim_start().len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_as_they_are_written() {
        for codec in VideoCodec::ALL {
            for by in By::ALL {
                let places = 0..codec.presets().len();
                let mut terms: Vec<Term> =
                    places.map(|place| Term::Encode(codec, place, by)).collect();
                terms.extend((by != By::Frames).then_some(Term::Decode(codec, by)));
                for term in terms {
                    assert_eq!(term.to_string().parse(), Ok(term));
                }
            }
        }
        let others = [Term::ScaleFrom, Term::ScaleTo, Term::Sound(AudioCodec::Opus)];
        for term in others {
            assert_eq!(term.to_string().parse(), Ok(term));
        }
        for bad in ["decode h264 frames", "encode av1 fast bits", "scale", "sound mp3", ""] {
            assert_eq!(bad.parse::<Term>(), Err(TermError(bad.into())));
        }
    }

    #[test]
    fn what_is_wrong_with_a_table_has_a_place() {
        let head = "name: m\nmeasured: here\nrates:\n";
        let said = |text: &str| match Table::parse("m.yaml", text) {
            Ok(_) => "accepted".to_owned(),
            Err(e) => e.to_string(),
        };
        assert_eq!(said(&format!("{head}  scale to: 0.5\n")), "accepted");
        let unknown = said(&format!("{head}  scale to: 0.5\n  scale up: 1\n"));
        let want = "m.yaml:5:3: \"scale up\" is no term: write decode CODEC pixels|bits, \
                    scale from|to, encode CODEC PRESET pixels|bits|frames, or sound CODEC";
        assert_eq!(unknown, want);
        let negative = said(&format!("{head}  scale to: -0.5\n"));
        assert_eq!(negative, "m.yaml:4:3: scale to: -0.5 is no number of millicores");
        let word = said(&format!("{head}  scale to: 0.5\n  scale from: much\n"));
        assert!(word.starts_with("m.yaml:5:15: rates.scale from: invalid type"), "{word}");
        let field = said("name: m\nmeasured: here\nrates: {}\nspeed: 1\n");
        assert!(field.starts_with("m.yaml:4:1: unknown field `speed`"), "{field}");
        let long = format!("{head}{}", " ".repeat(FILE_MAX));
        assert_eq!(said(&long), "m.yaml:1:1: larger than the limit of 65536 bytes");
    }

    #[test]
    fn every_table_that_is_built_in_can_be_read_and_says_its_name() {
        for name in Table::names() {
            let table = Table::built_in(name).expect("it is built in");
            assert_eq!(table.name, name);
            assert!(!table.measured.is_empty() && table.rates.len() > 20);
        }
        assert_eq!(Table::built_in("nothing"), None);
    }
}

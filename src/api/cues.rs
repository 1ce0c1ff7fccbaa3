//! Cues on their way to the channel's writer: what is asked over HTTP, and the messages that bring
//! it to who writes.
//!
//! ```text
//! POST /v1/channels/{channel}/cues    `Ask` as JSON; 201 and `Announced`
//! ```
//! Refusals are a line of text: 400 it can never be announced; 404 nobody writes the channel here;
//! 409 its id was used, or too many are open; 413 it is longer than [`BODY_MAX`]; 503 not now.

use crate::api::wire::CHANNELS;
use crate::base::error::Kind;
use crate::base::ids::Channel;
use crate::base::time::{MICROS, Wall};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::oneshot;

/// Largest request body in bytes: a cue's data has at most 4 KiB, and JSON may write a character of
/// its other fields as six.
pub const BODY_MAX: usize = 16 << 10;

/// How long a node may take to answer: a cue waits for its turn with its writer, and for its
/// record to be written.
const ANSWER: Duration = Duration::from_secs(10);

/// Longest duration that is a number of microseconds at all; how long a cue may last is the
/// writer's business.
const SECONDS_MOST: f64 = 1e9;

/// What somebody wants announced.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    /// Its name, unique in the session.
    pub id: String,
    /// What kind of thing it is, in reverse DNS order.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// When it begins, RFC 3339; by default with the picture that has just been sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How many seconds it lasts; 0: it is a moment.
    #[serde(default)]
    pub duration: f64,
    /// What is to be known of it; any JSON.
    pub data: Box<RawValue>,
}

/// What was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// Its name.
    pub id: String,
    /// When it begins, RFC 3339.
    pub start: String,
    /// The session that has it.
    pub session: u64,
    /// The generation whose log has it.
    pub generation: u64,
}

/// Why it was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// What can be done about it.
    pub kind: Kind,
    /// For people.
    pub why: String,
}

impl Refused {
    /// A refusal.
    pub fn new(kind: Kind, why: impl std::fmt::Display) -> Refused {
        Refused { kind, why: why.to_string() }
    }
}

/// An ask whose values have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// See [`Ask`].
    pub id: String,
    /// May be empty.
    pub class: String,
    /// `None`: now.
    pub at: Option<Wall>,
    /// Microseconds.
    pub duration: i64,
    /// JSON.
    pub data: String,
}

impl Ask {
    /// Reads the values.
    ///
    /// # Errors
    /// One is none.
    pub fn read(self) -> Result<Cue, Refused> {
        let bad = |why: String| Refused::new(Kind::Invalid, why);
        let at = self.at.map(|at| at.parse::<Wall>().map_err(|e| bad(format!("at: {e}"))));
        if !(0.0..=SECONDS_MOST).contains(&self.duration) {
            return Err(bad(format!("duration: {} is no number of seconds", self.duration)));
        }
        Ok(Cue {
            id: self.id,
            class: self.class,
            at: at.transpose()?,
            duration: (self.duration * MICROS as f64).round() as i64,
            data: self.data.get().to_owned(),
        })
    }
}

/// A cue for a channel's writer, and where its answer goes.
#[derive(Debug)]
pub struct Post {
    /// Whose.
    pub channel: Channel,
    /// What.
    pub cue: Cue,
    /// The answer.
    pub reply: oneshot::Sender<Result<Announced, Refused>>,
}

/// Asks a node over HTTP; `base` is its internal address.
///
/// # Errors
/// It refuses, or does not answer in time.
pub async fn post(base: &str, channel: &Channel, ask: &Ask) -> Result<Announced, Refused> {
    let none = |e: reqwest::Error| Refused::new(Kind::Unavailable, format!("{base}: {}", said(&e)));
    let path = format!("{}{CHANNELS}{channel}/cues", base.trim_end_matches('/'));
    let url: Url = path.parse().map_err(|e| Refused::new(Kind::Invalid, format!("{base}: {e}")))?;
    let body = serde_json::to_vec(ask).map_err(|e| Refused::new(Kind::Invalid, e))?;
    if body.len() > BODY_MAX {
        return Err(too_long());
    }
    let http = reqwest::Client::builder().timeout(ANSWER).build().map_err(none)?;
    let answer = http.post(url).header("content-type", "application/json").body(body);
    let answer = answer.send().await.map_err(none)?;
    let status = answer.status();
    let words = answer.bytes().await.map_err(none)?;
    if status == StatusCode::CREATED {
        let odd = |e| Refused::new(Kind::Unavailable, format!("{base}: its answer: {e}"));
        return serde_json::from_slice(&words).map_err(odd);
    }
    let kind = match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Kind::Invalid,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        _ => Kind::Unavailable,
    };
    Err(Refused::new(kind, String::from_utf8_lossy(&words).trim()))
}

/// It is longer than [`BODY_MAX`].
pub fn too_long() -> Refused {
    let why = format!("a cue has at most {BODY_MAX} bytes in all, and its data fewer");
    Refused::new(Kind::Invalid, why)
}

/// What went wrong, by its cause: reqwest's own words stop at "error sending request".
fn said(e: &reqwest::Error) -> String {
    if e.is_timeout() {
        return format!("no answer within {} s", ANSWER.as_secs());
    }
    let cause = std::iter::successors(std::error::Error::source(e), |e| e.source()).last();
    cause.map_or_else(|| e.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Cue, String> {
        let ask: Ask = serde_json::from_str(json).map_err(|e| e.to_string())?;
        ask.read().map_err(|e| e.to_string())
    }

    #[test]
    fn an_ask_is_read_with_its_data_as_it_was_written() {
        let cue = read(r#"{"id":"a","data":{"b": [1, 2.50]}}"#).expect("an ask");
        let want = Cue {
            id: "a".into(),
            class: String::new(),
            at: None,
            duration: 0,
            data: r#"{"b": [1, 2.50]}"#.into(),
        };
        assert_eq!(cue, want);
        let all = r#"{"id":"a","class":"c","at":"1970-01-01T00:00:01Z","duration":1.5,"data":1}"#;
        let cue = read(all).expect("an ask");
        assert_eq!((cue.at, cue.duration), (Some(Wall(MICROS)), 1_500_000));
        for (json, said) in [
            (r#"{"data":1}"#, "missing field `id`"),
            (r#"{"id":"a"}"#, "missing field `data`"),
            (r#"{"id":"a","data":1,"end":2}"#, "unknown field `end`"),
            (r#"{"id":"a","data":1,"at":"noon"}"#, "at: \"noon\" is not a moment"),
            (r#"{"id":"a","data":1,"duration":-1}"#, "duration: -1 is no number of seconds"),
            (r#"{"id":"a","data":1,"duration":1e300}"#, "duration: 1"),
        ] {
            let refused = read(json).expect_err(json);
            assert!(refused.starts_with(said), "{refused}");
        }
    }
}

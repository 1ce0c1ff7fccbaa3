//! Cues on their way to the channel's writer: what is asked over HTTP, and the messages that bring
//! it to who writes.
//!
//! ```text
//! POST /v1/channels/{channel}/cues    `Ask` as JSON; 201 and `Announced`
//! ```
//! An origin takes it itself; an API server brings it to the origin that writes the channel.
//! Refusals are a line of text: 400 it can never be announced; 404 nobody writes the channel here;
//! 409 its id was used, or too many are open; 413 it is longer than [`BODY_MAX`]; 503 not now.

use crate::api::peers::Peers;
use crate::api::types::Refusal;
use crate::api::wire::CHANNELS;
use crate::base::error::Kind;
use crate::base::ids::Channel;
use crate::base::time::{MICROS, Wall};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

/// Largest request body in bytes: a cue's data has at most 4 KiB, and JSON may write a character of
/// its other fields as six.
pub const BODY_MAX: usize = 16 << 10;

/// Longest duration that is a number of microseconds at all; how long a cue may last is the
/// writer's business.
const SECONDS_MOST: f64 = 1e9;

/// What somebody wants announced.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(with = "serde_json::Value")]
    pub data: Box<RawValue>,
}

/// What was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Asks an origin, or the API servers of its cluster, which bring it there.
///
/// # Errors
/// It is refused, or nobody answers in time.
pub async fn post(peers: &Peers, channel: &Channel, ask: &Ask) -> Result<Announced, Refused> {
    let body = serde_json::to_vec(ask).map_err(|e| Refused::new(Kind::Invalid, e))?;
    if body.len() > BODY_MAX {
        return Err(too_long());
    }
    peers.post(&format!("{CHANNELS}{channel}/cues"), ask).await.map_err(Refused::from)
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        let (kind, why) = match refusal {
            Refusal::NotFound(why) => (Kind::NotFound, why),
            Refusal::Conflict(why) => (Kind::Conflict, why),
            Refusal::Invalid(why) => (Kind::Invalid, why),
            Refusal::Unavailable(why) => (Kind::Unavailable, why),
            e @ Refusal::NoChannel => (Kind::NotFound, e.to_string()),
            e => (Kind::Unavailable, e.to_string()),
        };
        Refused { kind, why }
    }
}

impl From<Refused> for Refusal {
    fn from(Refused { kind, why }: Refused) -> Refusal {
        match kind {
            Kind::NotFound => Refusal::NotFound(why),
            Kind::Conflict | Kind::Exhausted => Refusal::Conflict(why),
            Kind::Invalid => Refusal::Invalid(why),
            _ => Refusal::Unavailable(why),
        }
    }
}

/// It is longer than [`BODY_MAX`].
pub fn too_long() -> Refused {
    let why = format!("a cue has at most {BODY_MAX} bytes in all, and its data fewer");
    Refused::new(Kind::Invalid, why)
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

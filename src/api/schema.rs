//! The schemas of names and of values that `base` defines, for the API's description: numbers and
//! names as they are in JSON.

use crate::api::ladder::{NAME_MAX, Name};
use crate::base::ids::{CHANNEL_NAME_MAX, Channel, Generation, Job, Msn, Session};
use crate::base::time::Wall;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! number {
    ($type:ty, $name:literal, $about:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "format": "int64", "description": $about })
            }
        }
    };
}

number!(Session, "Session", "A session's number: grows per channel, from 1.");
number!(Generation, "Generation", "A generation's number: grows per channel, from 1.");
number!(Job, "Job", "A job's number: grows per generation, from 1.");
number!(Msn, "Msn", "A media sequence number: grows per channel, for ever.");
number!(Wall, "Time", "Microseconds since 1970-01-01T00:00:00Z.");

impl JsonSchema for Channel {
    fn schema_name() -> Cow<'static, str> {
        "Channel".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9][a-z0-9_-]*$",
            "maxLength": CHANNEL_NAME_MAX,
        })
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9][a-z0-9-]*$",
            "maxLength": NAME_MAX,
        })
    }
}

//! The API's description, in the form of OpenAPI 3.1: made of the types that are sent, and of one
//! list of requests. It is `GET /v1/openapi.json`, and a file in the tree that a test compares.

use crate::api::attested::{AttestAsk, Attested};
use crate::api::cluster::{
    Archived, ChannelState, Heartbeat, Held, Lease, MadeKey, NewKey, Node, Resolved, Restored,
    Status,
};
use crate::api::cues::{Announced, Ask};
use crate::api::jobs::{Failure, Given, JobReport, Order, Schedule};
use crate::api::types::{
    Admission, ChannelSettings, End, Grant, PublishRequest, Refusal, Report, SessionRecord,
    SessionSpan, Unfinished, Want,
};
use crate::api::wire::{Line, Session};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

type Make = fn(&mut SchemaGenerator) -> Schema;

/// One request that is answered.
pub struct Route {
    /// In capitals.
    pub method: &'static str,
    /// With `{names}` for what differs.
    pub path: &'static str,
    /// What may stand behind it: names and types of parameters.
    query: &'static [(&'static str, &'static str)],
    /// What it is for.
    about: &'static str,
    /// What is sent.
    body: Option<Make>,
    /// What is answered, and the status.
    answer: (u16, Make),
}

macro_rules! route {
    ($method:literal $path:literal $about:literal, $answer:ty) => {
        Route {
            method: $method,
            path: $path,
            query: &[],
            about: $about,
            body: None,
            answer: (200, |g| g.subschema_for::<$answer>()),
        }
    };
    ($method:literal $path:literal $about:literal, $body:ty => $status:literal $answer:ty) => {
        Route {
            method: $method,
            path: $path,
            query: &[],
            about: $about,
            body: Some(|g| g.subschema_for::<$body>()),
            answer: ($status, |g| g.subschema_for::<$answer>()),
        }
    };
}

/// A place in a channel.
const POSITION: &[(&str, &str)] =
    &[("channel", "string"), ("rendition", "string"), ("msn", "integer"), ("time", "integer")];

/// Every request that is answered.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route!("POST" "/v1/admit" "Whose stream key is this?", PublishRequest => 200 Admission),
    route!("GET" "/v1/table" "The newest session of every channel, and where nodes are: lines of \
        JSON, in an answer that does not end", Line),
    route!("GET" "/v1/status" "Nodes and channels, for people", Status),
    route!("GET" "/v1/channels" "All channels", Vec<ChannelState>),
    route!("POST" "/v1/channels" "Makes a channel", ChannelSettings => 201 ChannelState),
    route!("GET" "/v1/channels/{channel}" "A channel with its keys", ChannelState),
    route!("DELETE" "/v1/channels/{channel}" "Deletes a channel; its recordings stay", ()),
    route!("POST" "/v1/channels/{channel}/keys" "Makes a stream key", NewKey => 201 MadeKey),
    route!("DELETE" "/v1/channels/{channel}/keys/{key}" "Revokes a stream key; its publish ends",
        ()),
    route!("POST" "/v1/channels/{channel}/cues" "Announces something to the channel's viewers",
        Ask => 201 Announced),
    route!("GET" "/v1/channels/{channel}/sessions" "All sessions on the channel's time line, \
        oldest first", Vec<SessionSpan>),
    route!("GET" "/v1/channels/{channel}/sessions/{session}" "A session", Session),
    route!("GET" "/v1/channels/{channel}/archived" "What buckets have of the channel's logs",
        Vec<Archived>),
    route!("POST" "/v1/channels/{channel}/generations" "A generation to write, after whoever \
        writes now was asked to stop", Want => 200 Grant),
    route!("PUT" "/v1/channels/{channel}/generations/{generation}/session" "Sets a session's \
        constants if they are not set; the ones in force", SessionRecord => 200 SessionRecord),
    route!("PUT" "/v1/channels/{channel}/generations/{generation}/report" "A segment started",
        Report => 200 ()),
    route!("PUT" "/v1/channels/{channel}/generations/{generation}/end" "A generation ended",
        End => 200 ()),
    route!("GET" "/v1/channels/{channel}/generations/{generation}/jobs/{job}" "What a transcoder \
        has to do", Order),
    route!("PUT" "/v1/channels/{channel}/generations/{generation}/jobs/{job}/report" "A segment \
        of a job's rungs started", JobReport => 200 ()),
    route!("PUT" "/v1/channels/{channel}/generations/{generation}/jobs/{job}/end" "A job ended",
        End => 200 ()),
    route!("PUT" "/v1/channels/{channel}/generations/{generation}/jobs/{job}/failed" "A job \
        can't be done by its node: it has ended, and another one gets it", Failure => 200 ()),
    route!("PUT" "/v1/channels/{channel}/generations/{generation}/jobs/{job}" "Gives a job to a \
        transcoder: the number after the newest, else it is refused; so is a node that is gone, \
        leaves, or has no room", Given => 200 ()),
    route!("GET" "/v1/schedule" "What a plan of all jobs is made of", Schedule),
    route!("GET" "/v1/nodes" "All nodes", Vec<Node>),
    route!("PUT" "/v1/nodes/{node}" "A node lives", Heartbeat => 200 Lease),
    route!("DELETE" "/v1/nodes/{node}" "A node leaves", ()),
    route!("POST" "/v1/nodes/{node}/logs" "A node has adopted logs", Held => 200 ()),
    route!("POST" "/v1/nodes/{node}/attest" "What is on a node's disk and in no bucket: it looks",
        AttestAsk => 200 Attested),
    route!("GET" "/v1/nodes/{node}/unfinished" "The sessions that a node has to take up",
        Vec<Unfinished>),
    route!("POST" "/v1/archived" "A bucket has these extents of these logs", Archived => 200 ()),
    route!("POST" "/v1/restored" "Takes up generations that were lost with the database, in \
        channels to which nobody has written since; how many", Restored => 200 u64),
    Route { query: POSITION, ..route!("GET" "/v1/resolve" "Where a position of a channel is read: \
        live, or that of a media sequence number, or of a time in microseconds since the epoch. \
        All renditions of the source are in one log", Resolved) },
    route!("GET" "/v1/openapi.json" "This description", Value),
];

fn content(schema: Schema) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn parameters(route: &Route) -> Vec<Value> {
    let names = route.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
    let of_path = names.map(|name| {
        let number = matches!(name, "session" | "generation" | "job");
        let kind = if number { "integer" } else { "string" };
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": kind } })
    });
    let of_query = route
        .query
        .iter()
        .map(|(name, kind)| json!({ "name": name, "in": "query", "schema": { "type": kind } }));
    of_path.chain(of_query).collect()
}

/// The whole description.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let refusal = schemas.subschema_for::<Refusal>();
    let mut paths = Map::new();
    for r in ROUTES {
        let (status, answer) = r.answer;
        let mut operation = json!({
            "summary": r.about,
            "responses": {
                status.to_string(): {
                    "description": "done",
                    "content": content(answer(&mut schemas)),
                },
                "default": { "description": "refused", "content": content(refusal.clone()) },
            },
        });
        let parameters = parameters(r);
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = r.body {
            let content = content(body(&mut schemas));
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        let of_path = paths.entry(r.path).or_insert_with(|| json!({}));
        of_path[r.method.to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "castctl",
            "version": "1",
            "description": "The registry of a castctl cluster. Every request carries a token made \
                with the cluster's secret: `Authorization: Bearer castctl1.NAME.EXPIRES.MAC`; NAME \
                is the sender's in hexadecimal, EXPIRES seconds since the epoch, MAC the \
                HMAC-SHA256 of what stands before it, in hexadecimal.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": { "cluster": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "cluster": [] }],
    })
}

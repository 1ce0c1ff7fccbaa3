//! One log line as one JSON object with the field names that Cloud Logging knows: `severity`,
//! `message`, `timestamp`; the event's own fields beside them, its spans' fields under `spans`.

use crate::rt::clock::Clock;
use serde_json::{Map, Value};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Names that the line uses itself; an event's field of such a name gets `field_` in front.
const OWN: [&str; 5] = ["severity", "timestamp", "message", "target", "spans"];

/// The format; the spans' fields must be formatted by `JsonFields`.
pub(super) struct CloudJson {
    clock: Clock,
}

impl CloudJson {
    pub(super) fn new() -> CloudJson {
        CloudJson { clock: Clock::system() }
    }
}

impl<S> FormatEvent<S, JsonFields> for CloudJson
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let mut object = line.fields;
        let metadata = event.metadata();
        object.insert("severity".into(), severity(metadata.level()).into());
        object.insert("timestamp".into(), self.clock.now().wall.to_string().into());
        object.insert("target".into(), metadata.target().into());
        object.insert("message".into(), line.message.into());
        let mut spans = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|f| serde_json::from_str::<Value>(&f.fields).ok());
            spans.insert(span.name().to_owned(), fields.unwrap_or_else(|| Map::new().into()));
        }
        if !spans.is_empty() {
            object.insert("spans".into(), spans.into());
        }
        writeln!(to, "{}", Value::Object(object))
    }
}

/// Cloud Logging's LogSeverity; it has nothing below DEBUG.
fn severity(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let name = if OWN.contains(&name) { format!("field_{name}") } else { name.to_owned() };
        self.fields.insert(name, value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.put(field, value.into());
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

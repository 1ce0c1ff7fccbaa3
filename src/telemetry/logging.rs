//! Log lines on stderr: text for people, JSON with Cloud Logging's field names for machines. Called
//! once, by the command; everything else uses `tracing`'s macros.

use crate::telemetry::cloud_json::CloudJson;
use std::io::IsTerminal;
use std::str::FromStr;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;

/// The environment variable that holds the filter, `info` or `castctl::ingest=debug,warn`.
pub const FILTER_VARIABLE: &str = "CASTCTL_LOG";
/// The filter when nobody says otherwise.
pub const FILTER_DEFAULT: &str = "info";
/// Kubernetes sets this variable in every container.
const POD_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";
/// Asks every program not to use colours (no-color.org).
const NO_COLOR_VARIABLE: &str = "NO_COLOR";

/// The form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `auto`: JSON in a Kubernetes pod without a terminal, else text.
    #[default]
    Auto,
    /// `text`: for people; coloured on a terminal unless NO_COLOR is set.
    Text,
    /// `json`: one object a line.
    Json,
}

impl LogFormat {
    /// The words that `from_str` knows, for the command line.
    pub const WORDS: [&'static str; 3] = ["auto", "text", "json"];
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(word: &str) -> Result<LogFormat, LogError> {
        match word {
            "auto" => Ok(LogFormat::Auto),
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(LogError::Format(word.to_owned())),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not one of the forms.
    #[error("{0:?} is not a log format: write auto, text or json")]
    Format(String),
    /// The filter is not one.
    #[error(
        "{text:?} is not a log filter (for example info, or castctl::ingest=debug,warn): {source}"
    )]
    Filter {
        /// The filter as it was given.
        text: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logging was set up before, in this process.
    #[error("logging is already set up")]
    Twice,
}

/// Sets up logging for the whole process, once. `filter` wins over `CASTCTL_LOG`, which wins over
/// `info`.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), LogError> {
    let variable = std::env::var_os(FILTER_VARIABLE).map(|v| v.to_string_lossy().into_owned());
    let text = filter.map(str::to_owned).or(variable).filter(|t| !t.trim().is_empty());
    let terminal = std::io::stderr().is_terminal();
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let json = json(format, terminal, set(POD_VARIABLE));
    let colours = terminal && !set(NO_COLOR_VARIABLE);
    let text = text.as_deref().unwrap_or(FILTER_DEFAULT);
    let subscriber = subscriber(json, colours, text, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

fn json(format: LogFormat, terminal: bool, pod: bool) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => pod && !terminal,
    }
}

type Boxed = Box<dyn Subscriber + Send + Sync>;

fn subscriber<W>(json: bool, colours: bool, filter: &str, to: W) -> Result<Boxed, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LogError::Filter { text: filter.to_owned(), source })?;
    // A closed stderr must not end the process: the layer would panic when it reports that.
    let base = tracing_subscriber::fmt()
        .with_writer(to)
        .with_env_filter(filter)
        .log_internal_errors(false);
    Ok(if json {
        Box::new(base.fmt_fields(JsonFields::new()).event_format(CloudJson::new()).finish())
    } else {
        Box::new(base.with_ansi(colours).finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, filter: &str, what: impl FnOnce()) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = subscriber(json, false, filter, move || to.clone()).expect(filter);
        tracing::subscriber::with_default(subscriber, what);
        let bytes = lines.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("log lines are UTF-8")
    }

    #[test]
    fn json_lines_have_the_names_of_cloud_logging() {
        let text = logged(true, "info", || {
            let span = tracing::info_span!("publish", channel = "main", generation = 7);
            let _in = span.enter();
            tracing::warn!(bytes = 12, late = true, message_is = "odd", "slow\n{}", "reader");
            tracing::error!(severity = "mine", ratio = 0.5, "x");
            tracing::debug!("not shown");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
        let [warn, error] = &lines[..] else { panic!("two lines: {text}") };
        assert_eq!(warn["severity"], "WARNING");
        assert_eq!(warn["message"], "slow\nreader");
        assert_eq!(warn["bytes"], 12);
        assert_eq!(warn["late"], true);
        assert_eq!(warn["target"], "castctl::telemetry::logging::tests");
        assert_eq!(warn["spans"]["publish"]["channel"], "main");
        assert_eq!(warn["spans"]["publish"]["generation"], 7);
        let time = warn["timestamp"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        assert_eq!(error["severity"], "ERROR", "a field never hides the line's own");
        assert_eq!(error["field_severity"], "mine");
        assert_eq!(error["ratio"], 0.5);
    }

    #[test]
    fn text_lines_are_for_people_and_the_filter_holds() {
        let text = logged(false, "castctl=debug,warn", || {
            tracing::debug!(channel = "main", "seen");
            tracing::info!(target: "foreign", "hidden");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("DEBUG") && text.contains("seen channel=\"main\""), "{text}");
    }

    #[test]
    fn the_form_follows_the_place() {
        for (format, terminal, pod, expected) in [
            (LogFormat::Auto, true, false, false),
            (LogFormat::Auto, false, false, false),
            (LogFormat::Auto, false, true, true),
            (LogFormat::Auto, true, true, false),
            (LogFormat::Json, true, false, true),
            (LogFormat::Text, false, true, false),
        ] {
            assert_eq!(json(format, terminal, pod), expected, "{format:?} {terminal} {pod}");
        }
        assert!(LogFormat::WORDS.iter().all(|w| w.parse::<LogFormat>().is_ok()));
    }

    #[test]
    fn bad_settings_are_named() {
        let error = subscriber(false, false, "castctl=loud", std::io::sink).err();
        let text = error.expect("not a filter").to_string();
        assert!(text.starts_with("\"castctl=loud\" is not a log filter"), "{text}");
        let error = "yaml".parse::<LogFormat>().expect_err("not a format").to_string();
        assert_eq!(error, "\"yaml\" is not a log format: write auto, text or json");
    }
}

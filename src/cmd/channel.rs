//! castctl channel: a cluster's channels and their stream keys.

use crate::api::cluster::{ChannelState, Key, MadeKey, NewKey, Role, Status};
use crate::api::ladder::Ladder;
use crate::api::peers::Peers;
use crate::api::types::{ChannelSettings, Refusal};
use crate::base::ids::Channel;
use crate::base::time::Wall;
use crate::base::units;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::{cluster, settings};
use crate::manifest::types::ChannelSpec;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where API servers are by default.
pub const API: &str = "http://127.0.0.1:8070";

/// Make, show and delete a cluster's channels and their stream keys
///
/// Exit code 1: it was refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    cluster: cluster::Flags,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a channel with a stream key; prints what to paste into an encoder
    Create(Create),
    /// All channels
    List,
    /// One channel with its keys
    Show {
        /// The channel
        channel: Channel,
    },
    /// Delete a channel; what was recorded stays
    Delete {
        /// The channel
        channel: Channel,
    },
    /// Stream keys
    #[command(subcommand)]
    Key(KeyVerb),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Its name
    channel: Channel,
    /// Manifest that has a channel of this name, for all settings
    #[arg(long, value_name = "FILE", conflicts_with_all = ["segment", "part"])]
    from: Option<PathBuf>,
    /// Aimed-at segment length [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    segment: Option<Duration>,
    /// Aimed-at part length [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    part: Option<Duration>,
    /// How long a session waits for its encoder's return [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    reconnect_window: Option<Duration>,
    /// What it is transcoded to: default, or a manifest that has one ladder [default: nothing]
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "from")]
    ladder: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum KeyVerb {
    /// Make another key for a channel; it is printed once and stored as a hash
    Add {
        /// The channel
        channel: Channel,
        /// May not be used before, like 2026-11-20T17:00:00Z
        #[arg(long, value_name = "TIME")]
        not_before: Option<Wall>,
        /// May not be used from then on; a publish that runs goes on
        #[arg(long, value_name = "TIME")]
        expires: Option<Wall>,
        /// For whom it is
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Revoke a key: a publish that uses it ends
    Revoke {
        /// The channel
        channel: Channel,
        /// The key's name, as `channel show` prints it
        id: String,
    },
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let peers = args.cluster.peers(API)?;
    let wanted = match &args.verb {
        Verb::Create(create) => Some(wanted(create)?),
        _ => None,
    };
    let run = async {
        match args.verb {
            Verb::Create(_) => made(&peers, wanted.expect("of this verb"), args.json).await,
            Verb::List => listed(&peers, args.json).await,
            Verb::Show { channel } => shown(&peers, &channel, args.json).await,
            Verb::Delete { channel } => {
                peers.delete(&path(&channel)).await?;
                common::say(format!("channel {channel} is deleted; its recordings are not"));
                Ok(())
            }
            Verb::Key(KeyVerb::Add { channel, not_before, expires, note }) => {
                let terms = NewKey { not_before, expires, note };
                let key = add(&peers, &channel, &terms).await?;
                print(args.json, &key, || format!("id: {}\nkey: {}", key.id, key.key));
                Ok(())
            }
            Verb::Key(KeyVerb::Revoke { channel, id }) => {
                let path = format!("{}/keys/{id}", path(&channel));
                peers.delete(&path).await?;
                common::say(format!("key {id} is revoked; a publish that uses it ends"));
                Ok(())
            }
        }
    };
    answer(common::block_on(run)?)
}

/// What came of asking.
pub fn answer(asked: Result<(), Refusal>) -> Result<Exit, Failure> {
    match asked {
        Ok(()) => Ok(Exit::Done),
        Err(e @ (Refusal::Unavailable(_) | Refusal::Denied(_))) => Err(Failure::failed(e)),
        Err(e @ Refusal::Invalid(_)) => Err(Failure::usage(e)),
        Err(e) => {
            common::say(e);
            Ok(Exit::No)
        }
    }
}

/// JSON, or a text for people.
pub fn print<T: Serialize>(json: bool, value: &T, text: impl FnOnce() -> String) {
    match json {
        true => common::out(serde_json::to_string(value).expect("plain data is JSON")),
        false => common::out(text()),
    }
}

fn path(channel: &Channel) -> String {
    format!("/v1/channels/{channel}")
}

async fn add(peers: &Peers, channel: &Channel, terms: &NewKey) -> Result<MadeKey, Refusal> {
    peers.post(&format!("{}/keys", path(channel)), terms).await
}

/// The settings that were asked for.
fn wanted(create: &Create) -> Result<ChannelSettings, Failure> {
    let mut spec = ChannelSpec::new(create.channel.clone());
    if let Some(file) = &create.from {
        let manifest = common::manifest(Some(file))?;
        let found = manifest.channels.into_iter().find(|c| c.name == create.channel);
        let none = || format!("{} has no channel {}", file.display(), create.channel);
        spec = found.ok_or_else(|| Failure::usage(none()))?;
    }
    if let Some(segment) = create.segment {
        spec.segment = segment;
        let target = (segment * 2).as_secs_f64().ceil() as u32;
        spec.target_duration = spec.target_duration.max(target);
    }
    if let Some(part) = create.part {
        (spec.part, spec.latency_budget) = (part, part);
    }
    spec.reconnect_window = create.reconnect_window.unwrap_or(spec.reconnect_window);
    if spec.part >= spec.segment {
        return Err(Failure::usage("a part must be shorter than a segment"));
    }
    if let Some(name) = &create.ladder {
        transcoded(&mut spec, name)?;
    }
    Ok(ChannelSettings::clone(&settings::channel(&spec).settings))
}

/// With a ladder that is built in, else the one of a manifest.
pub fn transcoded(spec: &mut ChannelSpec, name: &str) -> Result<(), Failure> {
    let ladder = match Ladder::built_in(name) {
        Some(ladder) => Arc::new(ladder),
        None => {
            let hint = "ladders that are built in: default, none";
            let manifest = common::manifest(Some(Path::new(name))).map_err(|f| f.hint(hint))?;
            let [ladder] = &manifest.ladders[..] else {
                let why = format!("{name} has {} ladders, not one", manifest.ladders.len());
                return Err(Failure::usage(why).hint("or name a channel of it with --from"));
            };
            ladder.clone()
        }
    };
    let rate = spec.frame_rate_millis;
    let budget = ladder.latency_budget.unwrap_or(spec.latency_budget);
    if let Some((i, _)) = ladder.delay(rate).filter(|(_, delay)| *delay > budget) {
        let over = ladder.over(i, rate);
        return Err(Failure::usage(format!("more than {budget:?}, the latency budget: {over}")));
    }
    let target = Duration::from_secs(u64::from(spec.target_duration));
    if budget > target {
        let why = format!("the ladder's latencyBudget, {budget:?}, is above {target:?}");
        return Err(Failure::usage(why));
    }
    spec.latency_budget = budget;
    spec.ladder = Some(ladder).filter(|l| !l.rungs.is_empty());
    Ok(())
}

/// What an operator pastes into an encoder.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    channel: Channel,
    /// Where origins take publishes now.
    rtmp: Vec<String>,
    /// And where over TLS.
    rtmps: Vec<String>,
    id: String,
    key: String,
}

async fn made(peers: &Peers, settings: ChannelSettings, json: bool) -> Result<(), Refusal> {
    let channel = settings.name.clone();
    let _: ChannelState = peers.post("/v1/channels", &settings).await?;
    let MadeKey { id, key } = add(peers, &channel, &NewKey::default()).await?;
    let status: Status = peers.get("/v1/status").await?;
    let (mut rtmp, mut rtmps) = (Vec::new(), Vec::new());
    for n in status.nodes.into_iter().filter(|n| n.alive && n.said.role == Role::Origin) {
        rtmp.extend(n.said.rtmp);
        rtmps.extend(n.said.rtmps);
    }
    let made = Made { channel, rtmp, rtmps, id, key };
    print(json, &made, || {
        let mut lines = vec![format!("channel: {}", made.channel)];
        lines.extend(made.rtmp.iter().map(|url| format!("rtmp: {url}")));
        lines.extend(made.rtmps.iter().map(|url| format!("rtmps: {url}")));
        lines.push(format!("key: {}", made.key));
        lines.join("\n")
    });
    if made.rtmp.is_empty() {
        common::say("no origin is up: start one with `castctl ingest --api URL`");
    }
    Ok(())
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(header.iter().copied());
    table
}

/// A channel's state in a word or two.
pub fn word(state: Option<&crate::api::cluster::SessionState>) -> String {
    match state {
        None => "never on air".into(),
        Some(s) if s.over => format!("session {} over", s.session),
        Some(s) if s.ended => format!("session {} waits for its encoder", s.session),
        Some(s) => format!("session {} on {}", s.session, s.node),
    }
}

async fn listed(peers: &Peers, json: bool) -> Result<(), Refusal> {
    let all: Vec<ChannelState> = peers.get("/v1/channels").await?;
    print(json, &all, || {
        let mut out = table(&["channel", "keys", "now"]);
        for c in &all {
            let keys = c.keys.iter().filter(|k| !k.revoked).count().to_string();
            let keys = if c.configured { "in the manifest".to_owned() } else { keys };
            out.add_row([c.settings.name.to_string(), keys, word(c.session.as_ref())]);
        }
        out.to_string()
    });
    Ok(())
}

fn key_row(k: &Key) -> [String; 4] {
    let at = |at: Option<Wall>| at.map_or("-".into(), |at| at.to_string());
    let state = if k.revoked { "revoked" } else { "good" };
    let terms = format!("{} to {}", at(k.terms.not_before), at(k.terms.expires));
    [k.id.clone(), state.into(), terms, k.terms.note.clone()]
}

async fn shown(peers: &Peers, channel: &Channel, json: bool) -> Result<(), Refusal> {
    let state: ChannelState = peers.get(&path(channel)).await?;
    print(json, &state, || {
        let s = &state.settings;
        let head = format!(
            "{}: {}\nsegments of {:?}, parts of {:?}, at most {:?}; waits {:?} for its encoder",
            s.name,
            word(state.session.as_ref()),
            s.segment,
            s.part,
            s.target_duration,
            s.reconnect_window
        );
        let mut keys = table(&["key", "state", "may be used", "note"]);
        for key in &state.keys {
            keys.add_row(key_row(key));
        }
        if state.keys.is_empty() { head } else { format!("{head}\n{keys}") }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(ladder: &str, part: Option<u64>) -> Result<ChannelSettings, Failure> {
        let channel = "main".parse().expect("a name");
        let (part, ladder) = (part.map(Duration::from_millis), Some(ladder.to_owned()));
        let (from, segment, reconnect_window) = (None, None, None);
        wanted(&Create { channel, from, segment, part, reconnect_window, ladder })
    }

    #[test]
    fn a_channel_is_made_with_a_ladder_by_name_or_by_file() {
        let ladder = |of: &str| made(of, None).expect("good").ladder;
        assert_eq!(ladder("default").as_deref(), Some(&Ladder::standard()));
        assert_eq!(ladder("none"), None);
        let dir = tempfile::tempdir().expect("a directory");
        let file = |rungs: &str| {
            let path = dir.path().join("castctl.yaml");
            std::fs::write(&path, format!("ladders: [{rungs}]")).expect("written");
            path.display().to_string()
        };
        let one = "{name: one, rungs: [{name: low, height: 240, bitrate: 400kbps}]}";
        let read = ladder(&file(one)).expect("one");
        assert_eq!((read.name.as_str(), read.rungs.len()), ("one", 1));
        let two = format!("{one}, {}", one.replace("one", "two"));
        let many = format!("{:?}", made(&file(&two), None).expect_err("refused"));
        assert!(many.contains("has 2 ladders, not one"), "{many}");
        let nothing = format!("{:?}", made("sports", None).expect_err("refused"));
        assert!(nothing.contains("cannot read sports"), "{nothing}");
        // Encoders hold pictures for longer than so short a part.
        let late = format!("{:?}", made("default", Some(1)).expect_err("refused"));
        assert!(late.contains("the latency budget"), "{late}");
    }
}

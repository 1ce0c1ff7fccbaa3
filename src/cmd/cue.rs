//! castctl cue: announces something to a channel's viewers.

use crate::api::cues::{self, Announced, Ask, Refused};
use crate::base::error::Kind;
use crate::base::ids::Channel;
use crate::base::time::Wall;
use crate::base::units;
use crate::cmd::cluster;
use crate::cmd::common::{self, Exit, Failure};
use serde_json::value::RawValue;
use std::time::Duration;

/// Where `castctl up` and a lone origin take cues by default.
const INTERNAL: &str = "http://127.0.0.1:8090";

/// Announce something to a channel's viewers: an advertisement, a goal, a chapter
///
/// The cue is recorded with the media, stands as EXT-X-DATERANGE in every playlist that covers it,
/// and as an event in the media at its moment. Viewers are told ahead of it where it is announced
/// ahead: they are some seconds behind. `--api` is the API servers of a cluster, or the internal
/// address of an origin or of `castctl up`; by default that of one on this machine. Exit code 1: it
/// was refused, for nobody publishes to the channel, or its id was used.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The channel
    channel: Channel,
    /// Its name, never used before in this session: A-Z a-z 0-9 . _ : / -
    #[arg(long, value_name = "ID")]
    id: String,
    /// What kind of thing it is, in reverse DNS order, like com.example.ad
    #[arg(long, value_name = "CLASS", default_value = "", hide_default_value = true)]
    class: String,
    /// When it begins, like 2026-11-20T17:23:06.125Z [default: with the newest picture]
    #[arg(long, value_name = "TIME")]
    at: Option<Wall>,
    /// How long it lasts [default: it is a moment]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// What is to be known of it, any JSON of at most 4 KiB
    #[arg(long, value_name = "JSON", value_parser = json)]
    data: Box<RawValue>,
    #[command(flatten)]
    cluster: cluster::Flags,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn json(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

/// Announces it and says when it begins.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let ask = Ask {
        id: args.id,
        class: args.class,
        at: args.at.map(|at| at.to_string()),
        duration: args.duration.unwrap_or_default().as_secs_f64(),
        data: args.data,
    };
    let peers = args.cluster.peers(INTERNAL)?;
    match common::block_on(cues::post(&peers, &args.channel, &ask))? {
        Ok(announced) if args.json => {
            let text = serde_json::to_string(&announced).map_err(Failure::failed)?;
            common::out(text);
            Ok(Exit::Done)
        }
        Ok(Announced { id, start, session, .. }) => {
            common::out(format!("{id} begins at {start} in session {session}"));
            Ok(Exit::Done)
        }
        Err(Refused { kind: Kind::Unavailable, why }) => Err(Failure::failed(why)),
        Err(Refused { kind: Kind::Invalid, why }) => Err(Failure::usage(why)),
        Err(Refused { why, .. }) => {
            common::say(format!("refused: {why} ({})", peers.first()));
            Ok(Exit::No)
        }
    }
}

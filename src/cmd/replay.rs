//! castctl replay: publishes a recording in real time or faster.

use crate::base::error::Kind;
use crate::base::units::HumanBytes;
use crate::cmd::common::{self, Exit, Failure};
use crate::replay::digest::digest;
use crate::replay::error::{PublishError, SourceError};
use crate::replay::play::{PlayError, Progress, Speed, play};
use crate::replay::publish::{FINISH_TIMEOUT, Publisher};
use crate::replay::source::{Rounds, Source};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rtmp::url::RtmpUrl;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// Publish a recording to an RTMP server
///
/// The packets of a log or an FLV file are sent as they were recorded: payloads, configurations,
/// distances of timestamps and order, listed or not. MP4, MPEG-TS and Matroska files are sent from
/// time zero, decoding and presentation times each rounded to the nearest millisecond. A step of
/// timestamps back by more than 1 s or ahead by more than 10 s (an encoder that reconnected, a
/// clock that was set) is sent as it stands and not waited for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An FLV, MP4, MPEG-TS or Matroska file, a log's directory (…/g1), a session's (…/s1) or one
    /// extent of a log; or the URL of one of these three in a bucket, as castctl-archive(7) has it
    source: PathBuf,
    /// Where to: rtmp://HOST[:PORT]/APP/KEY
    #[arg(required_unless_present = "digest")]
    url: Option<String>,
    /// How fast: 1 is real time, 2 twice as fast, max as fast as the server takes it
    #[arg(long, default_value = "1", value_name = "N|max")]
    speed: Speed,
    /// Repeat for ever, with timestamps that go on
    #[arg(long = "loop")]
    endless: bool,
    /// Repeat so many times, with timestamps that go on
    #[arg(long, value_name = "N", conflicts_with = "endless", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Publish nothing: print what would be sent, with a checksum of it. Two recordings have the
    /// same one when their packets are the same, in a log or a file, whenever they begin
    #[arg(long, conflicts_with_all = ["url", "endless", "count", "speed"])]
    digest: bool,
    /// Print one JSON object
    #[arg(long, requires = "digest")]
    json: bool,
}

/// Publishes.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let Some(url) = &args.url else {
        return common::block_on(print_digest(&args))?;
    };
    let url: RtmpUrl = url.parse().map_err(Failure::usage)?;
    common::block_on(until_stopped(args, url))?
}

/// What a replay sends.
const CARRIED: &str = "one track of H.264, HEVC or AV1 and one of AAC or Opus";

/// Reads the recording and prints what it amounts to.
async fn print_digest(args: &Args) -> Result<Exit, Failure> {
    let mut source = open(args, Rounds::Times(1)).await?;
    let bar = bar(&source, Rounds::Times(1)).await;
    let read = digest(&mut source, |at| {
        bar.set_position(u64::try_from(at / 1000).unwrap_or_default());
    });
    let read = read.await;
    bar.finish_and_clear();
    let digest = read.map_err(unreadable)?;
    if args.json {
        common::out(serde_json::to_string_pretty(&digest).map_err(Failure::failed)?);
    } else {
        common::out(digest.table());
    }
    Ok(Exit::Done)
}

async fn open(args: &Args, rounds: Rounds) -> Result<Source, Failure> {
    let source = Source::open(&args.source, rounds).await.map_err(unreadable)?;
    for what in source.left_out() {
        common::say(format!("left out: {what}: castctl carries {CARRIED}"));
    }
    Ok(source)
}

/// The first signal ends the publish in good order, the second at once.
async fn until_stopped(args: Args, url: RtmpUrl) -> Result<Exit, Failure> {
    let mut stop = Stop::install().map_err(Failure::failed)?;
    let drain = Drain::new();
    let work = publish(&args, &url, &drain);
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = stop.next() => drain.start(),
    }
    tokio::select! {
        done = work => done,
        () = stop.next() => Ok(Exit::Forced),
    }
}

async fn publish(args: &Args, url: &RtmpUrl, drain: &Drain) -> Result<Exit, Failure> {
    let rounds = if args.endless { Rounds::Endless } else { Rounds::Times(args.count) };
    let mut source = open(args, rounds).await?;
    let (clock, codecs) = (Clock::system(), source.codecs());
    let mut publisher = tokio::select! {
        connected = Publisher::connect(url, &codecs, clock.clone()) => connected.map_err(refused)?,
        () = drain.wait() => return Ok(Exit::Done),
    };
    let bar = bar(&source, rounds).await;
    let mut progress = Progress::default();
    let time = (&clock, drain);
    let played = play(&mut source, &mut publisher, args.speed, time, &mut progress, |p| {
        bar.set_position(u64::try_from(p.media / 1000).unwrap_or_default());
        bar.set_message(rates(p));
    });
    let played = played.await;
    bar.finish_and_clear();
    let finished = match &played {
        Err(PlayError::Publish(_)) => Ok(0),
        _ => publisher.finish(patience(&progress)).await,
    };
    let at = || clock_time(progress.media);
    match (played, finished) {
        (Ok(()), Ok(_)) => {
            common::say(summary(&progress));
            Ok(Exit::Done)
        }
        (Err(PlayError::Source(SourceError::Empty { path })), _) => {
            Err(unreadable(SourceError::Empty { path }))
        }
        (Err(PlayError::Source(e)), _) => {
            Err(Failure::failed(format!("{e} (published up to media time {})", at())))
        }
        (Err(PlayError::Publish(e)), _) | (Ok(()), Err(e)) => {
            Err(Failure::failed(format!("{e} (at media time {})", at())))
        }
    }
}

/// How long the server may be silent at the end: one that takes media at the pace of a clock may
/// still have to take what was sent faster.
fn patience(p: &Progress) -> Duration {
    let media = Duration::from_micros(u64::try_from(p.media).unwrap_or_default());
    FINISH_TIMEOUT + media.saturating_sub(p.elapsed)
}

/// A recording that is not there or is none is a mistake in the words typed.
fn unreadable(e: SourceError) -> Failure {
    match e.kind() {
        Kind::NotFound | Kind::Invalid | Kind::DataLoss => Failure::usage(e)
            .hint("give a media file, a log's or session's directory, or an extent's file in one"),
        _ => Failure::failed(e),
    }
}

fn refused(e: PublishError) -> Failure {
    let closed = matches!(e, PublishError::Closed);
    let failure = Failure::failed(e);
    match closed {
        true => failure.hint("some servers close when application or stream key are not theirs"),
        false => failure,
    }
}

/// A progress bar in milliseconds of media; hidden when stderr is no terminal.
async fn bar(source: &Source, rounds: Rounds) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let round = source.duration().await.and_then(|d| u64::try_from(d / 1000).ok());
    let all = match rounds {
        Rounds::Times(n) => round.map(|r| r.saturating_mul(n)),
        Rounds::Endless => None,
    };
    let (bar, template) = match all {
        Some(all) => (ProgressBar::new(all), "{wide_bar} {msg}"),
        None => (ProgressBar::no_length(), "{spinner} {msg}"),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_finish(indicatif::ProgressFinish::AndClear)
}

/// Media time, pace and bit rate so far.
fn rates(p: &Progress) -> String {
    let media = p.media as f64 / 1e6;
    let pace = media / p.elapsed.as_secs_f64().max(1e-3);
    let kbits = p.bytes as f64 * 8.0 / media.max(1e-3) / 1000.0;
    format!("{} {pace:.2}x {kbits:.0} kbit/s", clock_time(p.media))
}

fn summary(p: &Progress) -> String {
    let (messages, bytes) = (p.messages, HumanBytes(p.bytes));
    let took = p.elapsed.as_secs_f64();
    format!("published {} ({messages} messages, {bytes}) in {took:.1} s", rates(p))
}

/// Microseconds as `01:02:03.456`.
fn clock_time(micros: i64) -> String {
    let ms = micros / 1000;
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{h:02}:{m:02}:{s:02}.{:03}", ms % 1000)
}

//! A look at an HLS stream of any server: the multivariant playlist, one video and one audio
//! playlist followed for a while as a low-latency player would, and every media file they list
//! taken apart.

use crate::base::time::Wall;
use crate::inspect::analysis::Analysis;
use crate::inspect::error::InspectError;
use crate::inspect::fetch::Http;
use crate::inspect::findings;
use crate::inspect::follow::{Follower, Shared};
use crate::inspect::playlist::{Media, Multivariant, Playlist, parse};
use crate::inspect::report::hls::{HlsFacts, VariantFacts};
use crate::inspect::report::{Report, Severity};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use std::time::Duration;

/// How far behind the end of a live playlist a look begins, in segments: as players do (6.3.3).
const BEHIND: u64 = 3;

/// Follows a playlist for `duration` of clock time (a live one) or of media (one that has ended);
/// less when `drain` starts.
///
/// # Errors
/// The URL cannot be fetched, or is no playlist.
pub async fn inspect(
    url: &str,
    duration: Duration,
    clock: &Clock,
    drain: &Drain,
) -> Result<Report, InspectError> {
    let http = Http::new(clock.clone())?;
    let mut report = Report::new(url.to_owned(), "hls");
    let (text, url) = http.text(url).await?;
    let multi = match read(&text, &url)? {
        Playlist::Multivariant(m) => Some(m),
        Playlist::Media(_) => None,
    };
    let wanted = match &multi {
        Some(m) => chosen(m),
        None => vec![("media".to_owned(), url.clone())],
    };
    if wanted.is_empty() {
        let why = "it lists no variant".to_owned();
        return Err(InspectError::Playlist { url, why });
    }
    let shared = Shared::new(Analysis::apart());
    let mut followers = Vec::new();
    for (role, relative) in wanted {
        let address = Http::join(&url, &relative)?;
        let (text, at) = http.text(&address).await?;
        let Playlist::Media(media) = read(&text, &at)? else {
            let why = "a media playlist was expected".to_owned();
            return Err(InspectError::Playlist { url: at, why });
        };
        followers.push((Follower::new(&http, &shared, role, at), media));
    }
    let from = followers.iter().map(|(_, m)| start(m)).max().unwrap_or(0);
    let until = clock.now().mono.plus(duration);
    let mut facts = Vec::new();
    let mut target = None;
    // A stream has one or two of them; they run side by side in this one task.
    let mut others = followers.split_off(1.min(followers.len()));
    let first = followers.pop().map(|(f, m)| f.run(*m, from, (until, duration), drain));
    let second = others.pop().map(|(f, m)| f.run(*m, from, (until, duration), drain));
    let (first, second) = tokio::join!(maybe(first), maybe(second));
    for done in [first, second].into_iter().flatten() {
        target = done.facts.target_duration.or(target);
        done.findings.into_iter().for_each(|(s, t)| report.found(s, t));
        facts.push(done.facts);
    }
    report.bytes = http.bytes();
    let analysis = shared.into_analysis();
    report.tracks = analysis.tracks();
    report.skew = analysis.skew();
    let variants = multi.as_ref().map(variants);
    if report.tracks.is_empty() {
        report.found(Severity::Problem, "no fMP4 media was seen");
    }
    report.hls = Some(HlsFacts { variants, playlists: facts });
    findings::judge(&mut report, target);
    Ok(report)
}

async fn maybe<F: Future>(future: Option<F>) -> Option<F::Output> {
    match future {
        Some(f) => Some(f.await),
        None => None,
    }
}

fn read(text: &str, url: &str) -> Result<Playlist, InspectError> {
    parse(text).map_err(|why| InspectError::Playlist { url: url.to_owned(), why: why.to_owned() })
}

/// The best variant and the audio that goes with it.
fn chosen(m: &Multivariant) -> Vec<(String, String)> {
    let Some(best) = m.variants.iter().max_by_key(|v| v.bandwidth) else { return Vec::new() };
    let group = m
        .renditions
        .iter()
        .filter(|r| r.kind == "AUDIO" && Some(&r.group) == best.audio.as_ref() && r.uri.is_some());
    let audio = group.max_by_key(|r| r.default).and_then(|r| r.uri.clone());
    let video = if audio.is_some() { "video" } else { "media" };
    let mut out = vec![(video.to_owned(), best.uri.clone())];
    out.extend(audio.filter(|a| *a != best.uri).map(|uri| ("audio".to_owned(), uri)));
    out
}

/// The first segment to look into.
fn start(m: &Media) -> u64 {
    match m.ended {
        true => m.first_msn,
        false => m.next().0.saturating_sub(BEHIND).max(m.first_msn),
    }
}

fn variants(m: &Multivariant) -> Vec<VariantFacts> {
    let one = |v: &crate::inspect::playlist::Variant| VariantFacts {
        uri: v.uri.clone(),
        bandwidth: v.bandwidth,
        codecs: v.codecs.clone(),
        resolution: v.resolution.clone(),
        frame_rate: v.frame_rate,
    };
    m.variants.iter().map(one).collect()
}

/// Seconds from a date to now.
pub(super) fn latency(end: Wall, now: Wall) -> f64 {
    now.since(end) as f64 / 1e6
}

//! Follows one media playlist: reloads it, blocking where that is offered, and takes apart every
//! file it lists.

use crate::base::time::Mono;
use crate::inspect::analysis::{Analysis, TrackFacts};
use crate::inspect::fetch::Http;
use crate::inspect::findings::time;
use crate::inspect::hls::latency;
use crate::inspect::playlist::{File, Media, Playlist, parse};
use crate::inspect::report::Severity;
use crate::inspect::report::hls::{PlaylistFacts, Spread};
use crate::inspect::samples::{feed, track_facts};
use crate::media::fmp4::read::{self, InitTrack};
use crate::rt::drain::Drain;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

/// Most listed durations may differ from the media's, seconds: rounding to milliseconds and an
/// audio frame.
const DURATION_ERROR: f64 = 0.1;

/// Most init sections that are kept; a playlist names one for each configuration.
const INITS_MAX: usize = 64;

/// Reloads that may fail in a row before a playlist is given up.
pub(super) const FAILURES_MAX: u32 = 5;

/// What the followers of one stream feed, in one task.
#[derive(Debug)]
pub(super) struct Shared {
    analysis: RefCell<Analysis>,
    tracks: RefCell<u32>,
}

impl Shared {
    pub(super) fn new(analysis: Analysis) -> Shared {
        Shared { analysis: RefCell::new(analysis), tracks: RefCell::new(0) }
    }

    pub(super) fn into_analysis(self) -> Analysis {
        self.analysis.into_inner()
    }

    fn next_track(&self) -> u32 {
        let mut n = self.tracks.borrow_mut();
        *n += 1;
        *n
    }
}

/// What a follower has seen.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) facts: PlaylistFacts,
    pub(super) findings: Vec<(Severity, String)>,
}

/// Follows one media playlist.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    http: &'a Http,
    shared: &'a Shared,
    done: Done,
    inits: HashMap<File, Vec<InitTrack>>,
    /// Track numbers of the media and of the report.
    ids: HashMap<u32, u32>,
    /// The next segment and part to fetch.
    cursor: (u64, usize),
    latencies: Vec<f64>,
    changed: Mono,
    stalled: f64,
    first_failure: Option<String>,
    unread: Option<String>,
    over: Vec<String>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        http: &'a Http,
        shared: &'a Shared,
        role: String,
        url: String,
    ) -> Follower<'a> {
        let facts = PlaylistFacts {
            url,
            role,
            target_duration: None,
            part_target: None,
            part_hold_back: None,
            blocking_reload: false,
            ended: false,
            versions: 0,
            failed_reloads: 0,
            slowest_reload_seconds: None,
            first_msn: None,
            last_msn: None,
            window_seconds: 0.0,
            segments: 0,
            gaps: 0,
            discontinuities: 0,
            latency_seconds: None,
            fetched: 0,
            failed: 0,
            duration_error_seconds: None,
        };
        Follower {
            http,
            shared,
            done: Done { facts, findings: Vec::new() },
            inits: HashMap::new(),
            ids: HashMap::new(),
            cursor: (0, 0),
            latencies: Vec::new(),
            changed: http.now().mono,
            stalled: 0.0,
            first_failure: None,
            unread: None,
            over: Vec::new(),
        }
    }

    /// Follows from segment `from` on until the instant, or through so much of what has ended.
    pub(super) async fn run(
        mut self,
        mut media: Media,
        from: u64,
        (until, length): (Mono, Duration),
        drain: &Drain,
    ) -> Done {
        self.cursor = (from, 0);
        let mut failures = 0;
        loop {
            self.version(&media);
            let looked = async {
                self.fetch(&media, length).await;
                if media.ended || self.http.now().mono >= until {
                    return None;
                }
                Some(self.reload(&media, until).await)
            };
            let next = tokio::select! {
                next = looked => next,
                () = drain.wait() => None,
            };
            match next {
                None => break,
                Some(Ok(newer)) => {
                    failures = 0;
                    if newer.first_msn < media.first_msn {
                        let (a, b) = (media.first_msn, newer.first_msn);
                        self.problem(format!("the media sequence went back from {a} to {b}"));
                    }
                    media = newer;
                }
                Some(Err(why)) => {
                    failures += 1;
                    self.done.facts.failed_reloads += 1;
                    self.over.push(why);
                    if failures >= FAILURES_MAX {
                        break;
                    }
                }
            }
        }
        self.finish()
    }

    fn problem(&mut self, text: String) {
        let text = format!("{}: {text}", self.done.facts.role);
        // Once is enough; every reload would say it again.
        if self.done.findings.iter().all(|(_, t)| *t != text) {
            self.done.findings.push((Severity::Problem, text));
        }
    }

    /// Takes in a version of the playlist.
    fn version(&mut self, m: &Media) {
        let (now, facts) = (self.http.now(), &mut self.done.facts);
        let last = m.segments.last().map(|s| s.msn);
        facts.target_duration = m.target_duration;
        (facts.part_target, facts.part_hold_back) = (m.part_target, m.part_hold_back);
        (facts.blocking_reload, facts.ended) = (m.can_block, m.ended);
        (facts.first_msn, facts.last_msn) = (m.segments.first().map(|s| s.msn), last);
        (facts.window_seconds, facts.segments) = (m.window(), m.segments.len() as u64);
        let gaps = |s: &&crate::inspect::playlist::Segment| s.gap || s.parts.iter().any(|p| p.gap);
        facts.gaps = m.segments.iter().filter(gaps).count() as u64;
        facts.discontinuities = m.segments.iter().filter(|s| s.discontinuity).count() as u64;
        facts.versions += 1;
        self.stalled = self.stalled.max(now.mono.since(self.changed).as_secs_f64());
        self.changed = now.mono;
        if let Some(end) = m.end().filter(|_| !m.ended) {
            self.latencies.push(latency(end, now.wall));
        }
        let target = m.target_duration.unwrap_or(f64::MAX);
        if let Some(s) = m.segments.iter().find(|s| s.duration.round() > target) {
            let (msn, d) = (s.msn, s.duration);
            self.problem(format!("segment {msn} of {d} s is longer than the target duration"));
        }
        let part = m.part_target.unwrap_or(f64::MAX) * 1.001;
        if let Some(p) = m.segments.iter().flat_map(|s| &s.parts).find(|p| p.duration > part) {
            let (uri, d) = (p.file.uri.clone(), p.duration);
            self.problem(format!("part {uri} of {d} s is longer than PART-TARGET"));
        }
    }

    /// The next version that differs; blocking where the server offers it.
    async fn reload(&mut self, m: &Media, until: Mono) -> Result<Media, String> {
        let url = self.done.facts.url.clone();
        let (msn, part) = m.next();
        let address = match (m.can_block, m.part_target) {
            (true, Some(_)) => query(&url, &format!("_HLS_msn={msn}&_HLS_part={part}")),
            (true, None) => query(&url, &format!("_HLS_msn={msn}")),
            (false, _) => url,
        };
        let half = Duration::from_secs_f64(m.target_duration.unwrap_or(2.0).clamp(0.2, 60.0) / 2.0);
        loop {
            if !m.can_block {
                self.http.sleep(half).await;
            }
            let asked = self.http.now().mono;
            let answer = self.http.text(&address).await;
            let now = self.http.now().mono;
            let took = now.since(asked).as_secs_f64();
            let slowest = &mut self.done.facts.slowest_reload_seconds;
            *slowest = Some(slowest.map_or(took, |s| s.max(took)));
            let newer = match answer.map(|(text, _)| parse(&text)) {
                Ok(Ok(Playlist::Media(newer))) => *newer,
                Ok(Ok(_)) => return Err("it has become a multivariant playlist".into()),
                Ok(Err(why)) => return Err(why.into()),
                Err(e) => {
                    self.http.sleep(half).await;
                    return Err(e.to_string());
                }
            };
            if newer != *m || now >= until {
                return Ok(newer);
            }
            if m.can_block {
                self.problem("a blocking reload was answered with nothing new".into());
                self.http.sleep(half).await;
            }
        }
    }

    /// Fetches what is listed and not fetched yet; of a playlist that has ended, `length` of it.
    async fn fetch(&mut self, m: &Media, length: Duration) {
        let mut seen = 0.0;
        for s in &m.segments {
            if s.msn < self.cursor.0 {
                continue;
            }
            if s.msn > self.cursor.0 {
                self.cursor = (s.msn, 0);
            }
            if m.ended && seen >= length.as_secs_f64() {
                return;
            }
            seen += s.duration;
            if s.discontinuity && self.cursor.1 == 0 {
                let mut analysis = self.shared.analysis.borrow_mut();
                self.ids.values().for_each(|id| analysis.restart_track(*id));
            }
            let map = s.map.as_ref();
            match &s.file {
                Some(file) if self.cursor.1 == 0 => {
                    if !s.gap {
                        self.file(file, map, s.duration).await;
                    }
                }
                _ => {
                    for p in s.parts.iter().skip(self.cursor.1) {
                        if !p.gap {
                            self.file(&p.file, map, p.duration).await;
                        }
                        self.cursor.1 += 1;
                    }
                }
            }
            if s.file.is_some() {
                self.cursor = (s.msn + 1, 0);
            }
        }
    }

    /// Fetches one media file and feeds what is in it.
    async fn file(&mut self, file: &File, map: Option<&File>, listed: f64) {
        let url = self.done.facts.url.clone();
        self.done.facts.fetched += 1;
        let bytes = match self.http.media(&url, file).await {
            Ok(bytes) => bytes,
            Err(e) => return self.missing(e.to_string()),
        };
        let Some(map) = map else {
            let what = if bytes.first() == Some(&0x47) { "MPEG-2 TS" } else { "not fMP4" };
            self.unread.get_or_insert_with(|| what.to_owned());
            return;
        };
        if !self.inits.contains_key(map) {
            if self.inits.len() >= INITS_MAX {
                self.inits.clear();
            }
            let tracks = match self.http.media(&url, map).await {
                Ok(init) => self.init(&init),
                Err(e) => return self.missing(e.to_string()),
            };
            self.inits.insert(map.clone(), tracks);
        }
        let tracks = self.inits.get(map).map(Vec::as_slice).unwrap_or_default();
        let fed = feed(&mut self.shared.analysis.borrow_mut(), &self.ids, &bytes, tracks);
        match fed {
            Ok(length) => {
                let error = (length - listed).abs();
                let facts = &mut self.done.facts;
                let worst = facts.duration_error_seconds.map_or(error, |w| w.max(error));
                facts.duration_error_seconds = Some((worst * 1e6).round() / 1e6);
            }
            Err(why) => self.missing(format!("{}: {why}", file.uri)),
        }
    }

    fn missing(&mut self, why: String) {
        self.done.facts.failed += 1;
        self.first_failure.get_or_insert(why);
    }

    /// Reads an init section and says what its tracks are.
    fn init(&mut self, bytes: &Bytes) -> Vec<InitTrack> {
        let tracks = match read::init(bytes) {
            Ok(tracks) => tracks,
            Err(e) => {
                self.missing(format!("an init section: {e}"));
                Vec::new()
            }
        };
        for t in &tracks {
            let id = *self.ids.entry(t.number).or_insert_with(|| self.shared.next_track());
            let Some(facts) = track_facts(t, id) else { continue };
            let name = Some(self.done.facts.role.clone()).filter(|r| r != "media");
            self.shared.analysis.borrow_mut().configure(TrackFacts { name, ..facts });
        }
        tracks
    }

    fn finish(mut self) -> Done {
        self.latencies.sort_by(f64::total_cmp);
        let milli = |s: f64| (s * 1000.0).round() / 1000.0;
        if let (Some(min), Some(max)) = (self.latencies.first(), self.latencies.last()) {
            let median = milli(self.latencies[self.latencies.len() / 2]);
            let (min, max) = (milli(*min), milli(*max));
            self.done.facts.latency_seconds = Some(Spread { min, median, max });
        } else if !self.done.facts.ended {
            let text = "no EXT-X-PROGRAM-DATE-TIME: the latency is unknown";
            self.done.findings.push((Severity::Note, text.into()));
        }
        let facts = self.done.facts.clone();
        let target = facts.target_duration.unwrap_or(f64::MAX);
        let stalled = self.stalled.max(self.http.now().mono.since(self.changed).as_secs_f64());
        if !facts.ended && stalled > 1.5 * target {
            self.problem(format!("nothing new for {}", time(stalled)));
        }
        if let Some(first) = &self.first_failure {
            let (role, n) = (&facts.role, facts.failed);
            let text = format!("{role}: {n} listed file(s) are missing or damaged, first {first}");
            self.done.findings.push((Severity::Damage, text));
        }
        if let Some(what) = self.unread.take() {
            let text = format!("{}: the media is {what} and was not looked into", facts.role);
            self.done.findings.push((Severity::Note, text));
        }
        if let Some(first) = self.over.first().cloned() {
            let n = facts.failed_reloads;
            self.problem(format!("{n} reload(s) failed, first: {first}"));
        }
        if let Some(e) = facts.duration_error_seconds.filter(|e| *e > DURATION_ERROR) {
            self.problem(format!("listed durations are up to {} off the media's", time(e)));
        }
        for (n, what) in [(facts.gaps, "gap(s)"), (facts.discontinuities, "discontinuity(ies)")] {
            if n > 0 {
                let text = format!("{}: {n} {what} in the playlist", facts.role);
                self.done.findings.push((Severity::Note, text));
            }
        }
        self.done
    }
}

/// Adds a query to an address that may have one.
fn query(url: &str, add: &str) -> String {
    let (base, fragment) = url.split_once('#').map_or((url, ""), |(b, f)| (b, f));
    let joint = if base.contains('?') { '&' } else { '?' };
    match fragment {
        "" => format!("{base}{joint}{add}"),
        f => format!("{base}{joint}{add}#{f}"),
    }
}

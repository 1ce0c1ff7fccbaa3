//! A channel on air for the rules that need HTTP: what comes next, and when, is the test's to say.

use crate::clip;
use crate::fetched::{client, get, ok};
use crate::oracle::playlist::{self, Playlist};
use crate::server::{KEY, fast, within};
use crate::stage::{Stage, tell};
use castctl::ingest::cues::Ask;
use castctl::ingest::publisher::Publisher;
use castctl::manifest::types::ChannelSpec;
use castctl::media::flv::file::Tag;
use reqwest::{Response, Url};
use tokio::task::JoinHandle;

/// TARGETDURATION in seconds; segments are 1 s, parts 200 ms.
pub(crate) const TARGET: u64 = 2;

/// Where AVCLevelIndication stands in a tag: behind the tag's five bytes and three of the record.
const LEVEL: usize = 8;

/// See the module.
pub(crate) struct Air {
    pub(crate) stage: Stage,
    pub(crate) edge: Url,
    publisher: Publisher,
    tags: Vec<Tag>,
    sent: usize,
    cues: u32,
}

impl Air {
    /// On air, with so many milliseconds sent and listed.
    pub(crate) async fn on(millis: u32) -> Air {
        Air::with(fast("main", &[KEY]), millis).await
    }

    pub(crate) async fn with(spec: ChannelSpec, millis: u32) -> Air {
        let mut stage = Stage::set(spec).await;
        let edge = stage.edge().await;
        let publisher = stage.publisher().await;
        let tags = clip::looped(&clip::bbb(), 120);
        let mut air = Air { stage, edge, publisher, tags, sent: 0, cues: 0 };
        air.more(millis).await;
        air.settled().await;
        air
    }

    /// Sends so many milliseconds more.
    pub(crate) async fn more(&mut self, millis: u32) {
        let from = self.tags.get(self.sent).map_or(0, |t| t.timestamp);
        let rest = &self.tags[self.sent..];
        let count = rest.iter().take_while(|t| t.timestamp < from + millis).count();
        tell(&mut self.publisher, &rest[..count]).await;
        self.sent += count;
    }

    /// Waits until all that was sent is listed: a cue that is announced after it is.
    pub(crate) async fn settled(&mut self) -> Playlist {
        self.cues += 1;
        let id = format!("settled-{}", self.cues);
        let (class, data) = (String::new(), "null".into());
        let ask = Ask { id: id.clone(), class, start: None, duration: 0, data };
        self.publisher.cue(ask).await.expect("taken");
        within("the cue", async {
            loop {
                let list = self.list("video/index.m3u8").await;
                if list.ranges.iter().any(|a| a["ID"] == id) {
                    return list;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// A URL of the session.
    pub(crate) fn url(&self, rest: &str) -> Url {
        self.edge.join("/live/main/s1/").and_then(|s| s.join(rest)).expect("a URL")
    }

    /// A playlist as it is now.
    pub(crate) async fn list(&self, rest: &str) -> Playlist {
        let text = ok(self.url(rest)).await;
        read(&String::from_utf8_lossy(&text))
    }

    /// Asks for something, and does not wait for the answer.
    pub(crate) fn ask(&self, rest: &str) -> JoinHandle<Option<Response>> {
        castctl::rt::task::spawn("viewer", get(self.url(rest)))
    }

    /// The same for a range of it.
    pub(crate) fn ask_range(&self, rest: &str, range: &str) -> JoinHandle<Option<Response>> {
        let asked = client().get(self.url(rest)).header("range", range).send();
        castctl::rt::task::spawn("viewer", async { asked.await.expect("an answer") })
    }

    /// The session is over.
    pub(crate) async fn end(self) -> Stage {
        self.publisher.end(true).await.result.expect("written");
        self.stage
    }

    /// The generation ends and the next one begins: the encoder connects again, and tells its
    /// configurations first.
    pub(crate) async fn next_generation(self) -> Air {
        let Air { stage, edge, publisher, tags, sent, cues } = self;
        publisher.end(false).await.result.expect("written");
        let mut publisher = stage.publisher().await;
        let timestamp = tags[sent].timestamp;
        let told: Vec<Tag> = tags.iter().filter(|t| t.body.get(1) == Some(&0)).cloned().collect();
        for tag in told {
            tell(&mut publisher, &[Tag { timestamp, ..tag }]).await;
        }
        Air { stage, edge, publisher, tags, sent, cues }
    }

    fn configuration(&self) -> &Tag {
        self.tags.iter().find(|t| t.body.starts_with(&[0x17, 0])).expect("H.264")
    }

    /// AVCLevelIndication of the encoder's first configuration.
    pub(crate) fn level(&self) -> u8 {
        self.configuration().body[LEVEL]
    }

    /// What the encoder's configuration of pictures is from here on: another level.
    pub(crate) async fn reconfigure(&mut self, level: u8) {
        let config = self.configuration();
        let mut body = config.body.to_vec();
        body[LEVEL] = level;
        let timestamp = self.tags[self.sent].timestamp;
        let tag = Tag { timestamp, body: body.into(), ..config.clone() };
        tell(&mut self.publisher, &[tag]).await;
    }
}

/// Reads a playlist.
pub(crate) fn read(text: &str) -> Playlist {
    playlist::parse(text).unwrap_or_else(|e| panic!("{e}:\n{text}"))
}

/// What a spawned request got.
pub(crate) async fn answered(asked: JoinHandle<Option<Response>>) -> Response {
    within("an answer", asked).await.expect("not aborted").expect("no panic")
}

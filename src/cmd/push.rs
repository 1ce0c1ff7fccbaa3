//! HLS push, as it is asked for: which channels go into which bucket; and the edge in the same
//! process as what is pushed.

use crate::api::directory::Directory;
use crate::api::types::Refusal;
use crate::base::ids::{Channel, Session as Number};
use crate::cmd::common::Failure;
use crate::edge::channels::Channels;
use crate::edge::followed::{self, Followed};
use crate::edge::recall;
use crate::hls::name::File;
use crate::hls::window::Window;
use crate::manifest::types::Manifest;
use crate::media::timeline::mark::SessionRecord;
use crate::push::live::{Changes, Live, Lost, Session};
use crate::push::metrics::Push;
use crate::push::pusher::{Pusher, Targets};
use crate::rt::clock::Clock;
use crate::store::error::StoreError;
use crate::store::open::{Access, open};
use crate::store::port::Store;
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

/// Where a channel is pushed: `CHANNEL=URL`, or `URL` for every channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct To {
    /// `None`: every channel that has none of its own.
    channel: Option<Channel>,
    /// The bucket and prefix.
    url: String,
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<To, String> {
        match text.split_once('=').filter(|(name, _)| !name.contains("://")) {
            None => Ok(To { channel: None, url: text.to_owned() }),
            Some((name, url)) => {
                let channel = name.parse::<Channel>().map_err(|e| e.to_string())?;
                Ok(To { channel: Some(channel), url: url.to_owned() })
            }
        }
    }
}

/// What a server has that pushes.
#[derive(Debug, Clone, clap::Args)]
pub struct HlsTo {
    /// Bucket that finished segments and playlists are put into while live, as plain HLS for a CDN
    /// in front of it (castctl-push(7)): s3://BUCKET/PREFIX, gs://, az:// or file:///DIR, for
    /// every channel, or CHANNEL=URL for one; may be repeated. The environment has the credentials
    /// [default: none]
    #[arg(long, value_name = "[CHANNEL=]URL", env = "CASTCTL_HLS_TO", value_delimiter = ',')]
    hls_to: Vec<To>,
}

impl HlsTo {
    /// What they ask for; with what the manifest's channels do, where that counts.
    pub fn asked(&self, manifest: bool) -> Asked {
        Asked { manifest, to: self.hls_to.clone() }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// What the manifest says of its channels counts.
    manifest: bool,
    /// Over that.
    to: Vec<To>,
}

impl Asked {
    /// What the manifest's channels ask for.
    pub fn by_manifest() -> Asked {
        Asked { manifest: true, to: Vec::new() }
    }

    /// The buckets; nothing is asked of them yet.
    ///
    /// # Errors
    /// A URL is none of a store, or the environment says something impossible of it.
    pub fn targets(&self, manifest: &Manifest) -> Result<Targets, Failure> {
        let access = Access::from_env();
        let mut opened: BTreeMap<&str, Store> = BTreeMap::new();
        let mut targets = Targets::default();
        let of_manifest = manifest.channels.iter().filter(|_| self.manifest);
        let of_manifest = of_manifest.filter_map(|c| Some((Some(&c.name), c.hls_to.as_deref()?)));
        let of_flags = self.to.iter().map(|to| (to.channel.as_ref(), to.url.as_str()));
        for (channel, url) in of_manifest.chain(of_flags) {
            let store = match opened.get(url) {
                Some(store) => store.clone(),
                None => {
                    let bad = |e: StoreError| match channel {
                        Some(channel) => Failure::of(e.kind(), format!("channel {channel}: {e}")),
                        None => Failure::of(e.kind(), format!("--hls-to: {e}")),
                    };
                    let store = open(url, &access).map_err(bad)?;
                    opened.entry(url).or_insert(store).clone()
                }
            };
            match channel {
                Some(channel) => drop(targets.of.insert(channel.clone(), store)),
                None => {
                    // A flag for all goes over what the manifest says of each.
                    targets.of.clear();
                    targets.all = Some(store);
                }
            }
        }
        // ... and one for a channel over that, whatever their order is.
        for To { channel, url } in &self.to {
            if let (Some(channel), Some(store)) = (channel, opened.get(url.as_str())) {
                targets.of.insert(channel.clone(), store.clone());
            }
        }
        Ok(targets)
    }
}

/// What pushes; `None` where nothing is asked for.
pub fn pusher(
    targets: Targets,
    edge: Option<&Channels>,
    directory: &Directory,
    manifest: &Manifest,
    (metrics, clock): (&Metrics, &Clock),
) -> Option<Pusher<Edge>> {
    let live = Edge(edge.filter(|_| !targets.is_empty())?.clone());
    Some(Pusher {
        live,
        directory: directory.clone(),
        targets,
        metrics: Push::register(metrics),
        clock: clock.clone(),
        drain_timeout: manifest.server.drain_timeout,
    })
}

/// The edge in this process.
#[derive(Clone)]
pub struct Edge(Channels);

impl Live for Edge {
    type Session = Followed;

    async fn follow(&self, channel: &Channel, number: Number) -> Result<Option<Followed>, Refusal> {
        Followed::of(&self.0, channel, number).await
    }
}

impl Session for Followed {
    type Changes = followed::Changes;

    fn record(&self) -> &Arc<SessionRecord> {
        Followed::record(self)
    }

    async fn held(&self) {
        Followed::held(self).await;
    }

    fn look<R>(&self, rendition: &str, ask: impl FnOnce(&Window) -> R) -> Option<R> {
        Followed::look(self, rendition, ask)
    }

    fn changes(&self, rendition: &str) -> Option<followed::Changes> {
        Followed::changes(self, rendition)
    }

    async fn bytes(&self, rendition: &str, file: &File) -> Result<Vec<Bytes>, Lost> {
        let got = Followed::bytes(self, rendition, file).await;
        got.map_err(|lost| match lost {
            recall::Lost::Missing => Lost::Never,
            recall::Lost::Log(_) => Lost::NotNow,
        })
    }
}

impl Changes for followed::Changes {
    async fn next(&mut self) {
        followed::Changes::next(self).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse::parse;

    fn asked(manifest: &[(&str, &str)], to: &[&str]) -> Vec<String> {
        let text = manifest.iter().map(|(name, url)| format!("{{name: {name}, hlsTo: '{url}'}}"));
        let text = format!("channels: [{}]", text.collect::<Vec<_>>().join(", "));
        let manifest = parse("castctl.yaml", &text).expect("good");
        let to = to.iter().map(|to| to.parse().expect("good")).collect();
        let targets = Asked { manifest: true, to }.targets(&manifest).expect("stores");
        let all = targets.all.iter().map(|store| format!("* {}", store.url()));
        all.chain(targets.of.iter().map(|(c, store)| format!("{c} {}", store.url()))).collect()
    }

    #[test]
    fn flags_go_over_the_manifest_and_a_channel_over_all() {
        let manifest = [("one", "file:///m/one"), ("two", "file:///m/two")];
        assert_eq!(asked(&manifest, &[]), ["one file:///m/one", "two file:///m/two"]);
        assert_eq!(asked(&manifest, &["file:///f"]), ["* file:///f"]);
        let each = ["two=file:///f/two", "file:///f/a=b"];
        assert_eq!(asked(&manifest, &each), ["* file:///f/a=b", "two file:///f/two"]);
        let one = ["one=file:///f"];
        assert_eq!(asked(&manifest, &one), ["one file:///f", "two file:///m/two"]);
        let other = "a b=file:///f".parse::<To>().expect_err("no channel");
        assert!(other.contains("channel"), "{other}");
        let bad = Asked { manifest: false, to: vec!["x=ftp://b".parse().expect("by its shape")] };
        let bad = format!("{:?}", bad.targets(&Manifest::default()).expect_err("no store"));
        assert!(bad.contains("channel x: ftp://b") && bad.contains("s3://"), "{bad}");
    }
}

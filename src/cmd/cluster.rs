//! A process that is one of many: who it is, where the API servers are, the cluster's secret.

use crate::api::auth::{NODE_NAME, Secret, is_node_name};
use crate::api::cluster::{Heartbeat, Role};
use crate::api::peers::{Peers, Signer};
use crate::api::types::NodeName;
use crate::cmd::common::Failure;
use crate::log::nodes::{Holder, Nodes};
use crate::log::remote::{Bearer, Options};
use crate::log::source::Source;
use crate::log::through::Through;
use crate::media::timeline::mark::RENDER;
use crate::rt::clock::Clock;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to reach and be of a cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// API servers of the cluster, like http://10.0.0.2:8070, several with commas between them
    #[arg(long, value_name = "URLS", env = "CASTCTL_API", global = true)]
    api: Option<String>,
    /// File with the secret that all nodes of the cluster have; without one, nodes trust everyone
    /// who reaches their internal listeners
    #[arg(long, value_name = "FILE", env = "CASTCTL_SECRET_FILE", global = true)]
    secret_file: Option<PathBuf>,
}

/// Who a node is in its cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeFlags {
    /// This node's name in the cluster, the same after every restart [default: the host's name]
    #[arg(long, value_name = "NAME", env = "CASTCTL_NODE", requires = "api")]
    node: Option<String>,
    /// Where other nodes reach the internal listener [default: its own address]
    #[arg(long, value_name = "URL", env = "CASTCTL_ADVERTISE", requires = "api")]
    advertise: Option<String>,
}

impl NodeFlags {
    /// With the host's name and `suffix` for a name, where none is given.
    ///
    /// # Errors
    /// The host's name can't be read.
    pub fn or_host(mut self, suffix: &str) -> Result<NodeFlags, Failure> {
        if self.node.is_none() {
            self.node = Some(host_name()? + suffix);
        }
        Ok(self)
    }
}

/// The secret in a file.
pub fn secret(file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let bad = |e: &dyn std::fmt::Display| Failure::usage(format!("{}: {e}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| bad(&e))?;
    Secret::new(&text).map(Some).map_err(|e| bad(&e))
}

/// What a member of a cluster says of itself, and to whom.
pub struct Lease {
    /// The API servers.
    pub peers: Peers,
    /// Its name.
    pub node: NodeName,
    /// What it says.
    pub beat: Heartbeat,
}

/// A node's place in its cluster.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub node: NodeName,
    /// The API servers; `None`: it is alone, or told its upstream.
    pub peers: Option<Peers>,
    /// What it signs its requests with.
    pub signer: Signer,
    /// What others have to have signed theirs with.
    pub secret: Option<Secret>,
    advertise: Option<String>,
}

impl Flags {
    /// An operator's way to the API servers.
    pub fn peers(&self, default: &str) -> Result<Peers, Failure> {
        let secret = secret(self.secret_file.as_deref())?;
        let signer = Signer { secret, name: "operator".into(), clock: Clock::system() };
        let api = self.api.as_deref().unwrap_or(default);
        Peers::new(api, signer).map_err(Failure::usage)
    }

    /// A node's place.
    pub fn member(&self, who: Option<&NodeFlags>) -> Result<Member, Failure> {
        let secret = secret(self.secret_file.as_deref())?;
        let node: NodeName = match (&self.api, who.and_then(|w| w.node.as_deref())) {
            (None, _) => "local".into(),
            (Some(_), Some(name)) => name.into(),
            (Some(_), None) => host_name()?.into(),
        };
        if !is_node_name(&node) {
            return Err(Failure::usage(format!("--node {node:?}: a node's name is {NODE_NAME}")));
        }
        let (clock, name) = (Clock::system(), node.clone());
        let signer = Signer { secret: secret.clone(), name, clock };
        let peers = self.api.as_deref().map(|api| Peers::new(api, signer.clone()));
        let peers = peers.transpose().map_err(Failure::usage)?;
        let advertise = who.and_then(|w| w.advertise.clone());
        Ok(Member { node, peers, signer, secret, advertise })
    }
}

fn host_name() -> Result<String, Failure> {
    let file = "/proc/sys/kernel/hostname";
    let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("{file}: {e}")))?;
    Ok(text.trim().to_lowercase())
}

impl Member {
    /// One that has no cluster.
    pub fn alone() -> Member {
        let signer = Signer { secret: None, name: "local".into(), clock: Clock::system() };
        Member { node: "local".into(), peers: None, signer, secret: None, advertise: None }
    }

    /// The API servers of its cluster.
    ///
    /// # Errors
    /// It has none.
    pub fn cluster(&self) -> Result<Peers, Failure> {
        let none = || Failure::usage("say where the API servers are (--api)");
        self.peers.clone().ok_or_else(none)
    }

    /// Where other nodes reach this one, whose internal listener is at `addr`.
    fn url(&self, addr: SocketAddr) -> Result<String, Failure> {
        match &self.advertise {
            Some(url) => Ok(url.clone()),
            None if addr.ip().is_unspecified() => Err(Failure::usage(format!(
                "the internal listener is at {addr}, and nobody can be sent there"
            ))
            .hint("say with --advertise how other nodes reach it, like http://10.0.0.2:8090")),
            None => Ok(format!("http://{addr}")),
        }
    }

    /// What it says of itself to its cluster, if it is of one; the rest are its own listeners.
    pub fn lease(
        &self,
        role: Role,
        internal: Option<SocketAddr>,
        rtmp: Option<SocketAddr>,
        rtmps: Option<SocketAddr>,
    ) -> Result<Option<Lease>, Failure> {
        let Some(peers) = self.peers.clone() else { return Ok(None) };
        let url = internal.map(|addr| self.url(addr)).transpose()?;
        let host = url.as_ref().and_then(|u| Some(u.split_once("://")?.1.rsplit_once(':')?.0));
        let publish = |scheme: &str, addr: Option<SocketAddr>| {
            host.zip(addr).map(|(host, addr)| format!("{scheme}://{host}:{}/live", addr.port()))
        };
        let (rtmp, rtmps) = (publish("rtmp", rtmp), publish("rtmps", rtmps));
        let beat = Heartbeat { url, rtmp, rtmps, render: RENDER, ..Heartbeat::of(role) };
        Ok(Some(Lease { peers, node: self.node.clone(), beat }))
    }

    /// Makes the tokens of requests for logs.
    pub fn bearer(&self) -> Bearer {
        let signer = self.signer.clone();
        let token = move || {
            let now = signer.clock.now().wall;
            signer.secret.as_ref().map(|s| s.token(&signer.name, now))
        };
        Arc::new(token)
    }

    /// The logs of all nodes, `through` one that is told.
    pub fn logs(&self, holder: Holder, through: Through, clock: Clock) -> Source {
        let options = Options::default();
        Source::Nodes(Nodes::new(holder, through, options, clock, self.bearer()))
    }
}

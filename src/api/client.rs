//! The registry as its users see it: in this process, where every call is a message with its own
//! answer, or behind a network, where it is a request.
//!
//! ```text
//! POST /v1/admit                                      PublishRequest; Admission
//! POST /v1/channels/{channel}/generations             Want; Grant
//! PUT  /v1/channels/{channel}/generations/{g}/session SessionRecord; the one in force
//! PUT  /v1/channels/{channel}/generations/{g}/report  Report
//! PUT  /v1/channels/{channel}/generations/{g}/end     End
//! GET  /v1/nodes/{node}/unfinished                    [Unfinished]
//! GET  /v1/channels/{channel}/sessions                [SessionSpan]
//! ```
//! A refusal is a `Refusal` as JSON.

use crate::api::jobs::{Failure, Given, JobReport, Order, Schedule};
use crate::api::peers::Peers;
use crate::api::types::{
    Admission, End, Grant, LiveSession, NodeName, PublishRequest, Refusal, Report, SessionRecord,
    SessionSpan, Table, Unfinished, Want,
};
use crate::api::wire::{self, CHANNELS};
use crate::base::ids::{Channel, Generation, Job, Session};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Calls that may wait for the registry before callers wait to ask: each is small, and a caller has
/// one or two open.
const CALLS_MAX: usize = 1024;

type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// One call and where its answer goes.
#[derive(Debug)]
pub enum Call {
    /// Whose key is this?
    Admit(PublishRequest, Reply<Admission>),
    /// A new generation for a channel, in its open session or a new one.
    Grant(Channel, Want, Reply<Grant>),
    /// The session's constants; the ones in force are answered.
    Open(Channel, Generation, SessionRecord, Reply<SessionRecord>),
    /// A segment started.
    Report(Channel, Generation, Report, Reply<()>),
    /// A generation ended here; `End::session_over` asks for the session's end.
    End(Channel, Generation, End, Reply<()>),
    /// What a job has to do.
    Job(Channel, (Generation, Job), Reply<Order>),
    /// A segment of a job's rungs started.
    JobReport(Channel, (Generation, Job), JobReport, Reply<()>),
    /// A job ended here.
    JobEnd(Channel, (Generation, Job), End, Reply<()>),
    /// A job can't be done here.
    JobFailed(Channel, (Generation, Job), Failure, Reply<()>),
    /// Sessions that this node wrote last and that are not over.
    Unfinished(NodeName, Reply<Vec<Unfinished>>),
    /// A session by its number, over or not.
    Find(Channel, Session, Reply<Option<LiveSession>>),
    /// All sessions of a channel, oldest first.
    Sessions(Channel, Reply<Vec<SessionSpan>>),
    /// A channel's newest session is this, as another registry says.
    Mirror(Channel, LiveSession, Reply<()>),
}

/// The far side of an embedded client: what the registry's loop reads.
#[derive(Debug)]
pub struct Calls {
    /// Calls, in order.
    pub calls: mpsc::Receiver<Call>,
    /// Where the table is published.
    pub table: watch::Sender<Arc<Table>>,
}

/// Asks the registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client(Asks);

#[derive(Debug, Clone)]
enum Asks {
    Here(mpsc::Sender<Call>),
    There(Peers),
}

/// The table of channels as the registry shows it.
pub type Shown = watch::Receiver<Arc<Table>>;

/// A client and the calls it makes, for a registry in this process, and the table it shows.
pub fn embedded() -> (Client, Calls, Shown) {
    let (tx, rx) = mpsc::channel(CALLS_MAX);
    let (table_tx, table_rx) = watch::channel(Arc::default());
    (Client(Asks::Here(tx)), Calls { calls: rx, table: table_tx }, table_rx)
}

/// The path of a channel's generations.
fn generations(channel: &Channel) -> String {
    format!("{CHANNELS}{channel}/generations")
}

/// The path of a job.
fn job(channel: &Channel, (generation, job): (Generation, Job)) -> String {
    format!("{}/{generation}/jobs/{job}", generations(channel))
}

impl Client {
    /// Of a registry behind a network.
    pub fn remote(peers: Peers) -> Client {
        Client(Asks::There(peers))
    }

    /// Whose key is this?
    pub async fn admit(&self, request: PublishRequest) -> Result<Admission, Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::Admit(request, r)).await,
            Asks::There(api) => api.post("/v1/admit", &request).await,
        }
    }

    /// A new generation for a channel.
    pub async fn grant(&self, channel: &Channel, want: Want) -> Result<Grant, Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::Grant(channel.clone(), want, r)).await,
            Asks::There(api) => api.post(&generations(channel), &want).await,
        }
    }

    /// Sets a session's constants if they are not set; answers the ones in force.
    pub async fn open(
        &self,
        channel: &Channel,
        generation: Generation,
        record: SessionRecord,
    ) -> Result<SessionRecord, Refusal> {
        match &self.0 {
            Asks::Here(calls) => {
                call(calls, |r| Call::Open(channel.clone(), generation, record, r)).await
            }
            Asks::There(api) => {
                let path = format!("{}/{generation}/session", generations(channel));
                api.put(&path, &record).await
            }
        }
    }

    /// Reports a segment start.
    pub async fn report(
        &self,
        channel: &Channel,
        generation: Generation,
        report: Report,
    ) -> Result<(), Refusal> {
        match &self.0 {
            Asks::Here(calls) => {
                call(calls, |r| Call::Report(channel.clone(), generation, report, r)).await
            }
            Asks::There(api) => {
                let path = format!("{}/{generation}/report", generations(channel));
                api.put(&path, &report).await
            }
        }
    }

    /// Reports the end of a generation; with `End::session_over`, ends the session in the same
    /// transaction.
    pub async fn end(
        &self,
        channel: &Channel,
        generation: Generation,
        end: End,
    ) -> Result<(), Refusal> {
        match &self.0 {
            Asks::Here(calls) => {
                call(calls, |r| Call::End(channel.clone(), generation, end, r)).await
            }
            Asks::There(api) => {
                let path = format!("{}/{generation}/end", generations(channel));
                api.put(&path, &end).await
            }
        }
    }

    /// What a job has to do. While the job before it may still tell its end: `Unavailable`.
    pub async fn job(&self, channel: &Channel, of: (Generation, Job)) -> Result<Order, Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::Job(channel.clone(), of, r)).await,
            Asks::There(api) => api.get(&job(channel, of)).await,
        }
    }

    /// A segment of a job's rungs started.
    pub async fn job_report(
        &self,
        channel: &Channel,
        of: (Generation, Job),
        report: JobReport,
    ) -> Result<(), Refusal> {
        match &self.0 {
            Asks::Here(calls) => {
                call(calls, |r| Call::JobReport(channel.clone(), of, report, r)).await
            }
            Asks::There(api) => api.put(&format!("{}/report", job(channel, of)), &report).await,
        }
    }

    /// A job ended here.
    pub async fn job_end(
        &self,
        channel: &Channel,
        of: (Generation, Job),
        end: End,
    ) -> Result<(), Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::JobEnd(channel.clone(), of, end, r)).await,
            Asks::There(api) => api.put(&format!("{}/end", job(channel, of)), &end).await,
        }
    }

    /// A job can't be done here: another node gets it.
    pub async fn job_failed(
        &self,
        channel: &Channel,
        of: (Generation, Job),
        failure: Failure,
    ) -> Result<(), Refusal> {
        match &self.0 {
            Asks::Here(calls) => {
                call(calls, |r| Call::JobFailed(channel.clone(), of, failure, r)).await
            }
            Asks::There(api) => api.put(&format!("{}/failed", job(channel, of)), &failure).await,
        }
    }

    /// Sessions that `node` has to take up: that it wrote last, or that of a node that is gone.
    pub async fn unfinished(&self, node: NodeName) -> Result<Vec<Unfinished>, Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::Unfinished(node, r)).await,
            Asks::There(api) => api.get(&format!("/v1/nodes/{node}/unfinished")).await,
        }
    }

    /// A session by its number; `None` when the channel never had it.
    pub async fn find(
        &self,
        channel: &Channel,
        session: Session,
    ) -> Result<Option<LiveSession>, Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::Find(channel.clone(), session, r)).await,
            Asks::There(api) => find(api, channel, session).await,
        }
    }

    /// All sessions of a channel, oldest first; none of one that never had any.
    pub async fn sessions(&self, channel: &Channel) -> Result<Vec<SessionSpan>, Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::Sessions(channel.clone(), r)).await,
            Asks::There(api) => sessions(api, channel).await,
        }
    }

    /// Tells what another registry says of a channel's newest session.
    pub async fn mirror(&self, channel: &Channel, live: LiveSession) -> Result<(), Refusal> {
        match &self.0 {
            Asks::Here(calls) => call(calls, |r| Call::Mirror(channel.clone(), live, r)).await,
            Asks::There(_) => Err(Refusal::Invalid("a cluster's registry mirrors nobody".into())),
        }
    }
}

async fn call<T>(
    calls: &mpsc::Sender<Call>,
    make: impl FnOnce(Reply<T>) -> Call,
) -> Result<T, Refusal> {
    let gone = || Refusal::Unavailable("it has stopped".into());
    let (tx, rx) = oneshot::channel();
    calls.send(make(tx)).await.map_err(|_| gone())?;
    rx.await.map_err(|_| gone())?
}

/// What a plan of all jobs is made of.
///
/// # Errors
/// As [`Peers::get`].
pub async fn schedule(api: &Peers) -> Result<Schedule, Refusal> {
    api.get("/v1/schedule").await
}

/// Gives a job to a node.
///
/// # Errors
/// `Conflict`: it is given already, or the node may not have it; as [`Peers::put`].
pub async fn give(
    api: &Peers,
    channel: &Channel,
    of: (Generation, Job),
    node: NodeName,
) -> Result<(), Refusal> {
    api.put(&job(channel, of), &Given { node }).await
}

/// Asks for a session by its number.
pub(super) async fn find(
    api: &Peers,
    channel: &Channel,
    session: Session,
) -> Result<Option<LiveSession>, Refusal> {
    let path = format!("{CHANNELS}{channel}/sessions/{session}");
    let said: wire::Session = match api.get(&path).await {
        Err(Refusal::NotFound(_)) => return Ok(None),
        said => said?,
    };
    let none = || Refusal::Unavailable("the answer names no channel".into());
    said.read().map(|(_, live)| Some(live)).ok_or_else(none)
}

/// Asks for all sessions of a channel.
pub(super) async fn sessions(api: &Peers, channel: &Channel) -> Result<Vec<SessionSpan>, Refusal> {
    match api.get(&format!("{CHANNELS}{channel}/sessions")).await {
        Err(Refusal::NotFound(_) | Refusal::NoChannel) => Ok(Vec::new()),
        said => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::task;

    #[tokio::test]
    async fn so_many_calls_wait_and_the_next_caller_waits_to_ask() {
        let (client, mut calls, _) = embedded();
        let ask = |client: Client| async move {
            let channel = "main".parse().expect("a channel name");
            client.find(&channel, Session(1)).await
        };
        let asked = (0..=CALLS_MAX).map(|_| task::spawn("ask", ask(client.clone())));
        let asked: Vec<_> = asked.collect();
        while calls.calls.len() < CALLS_MAX {
            tokio::task::yield_now().await;
        }
        for _ in 0..=CALLS_MAX {
            let call = calls.calls.recv().await;
            assert!(matches!(call, Some(Call::Find(..))), "the one that waited came too");
        }
        // Each call is dropped with its answer: the registry is gone, and callers are told so.
        for one in asked {
            let refused = one.await.expect("not aborted").expect("no panic").expect_err("gone");
            assert_eq!(refused.to_string(), "the registry is unavailable: it has stopped");
        }
    }
}

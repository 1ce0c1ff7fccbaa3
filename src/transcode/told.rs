//! What the registry is told of a job.

use crate::api::convert::end_to_api;
use crate::api::jobs::{Failure, JobReport, Order};
use crate::media::timeline::mark::End;
use crate::rt::task;
use crate::transcode::begin::{Context, Failed, Which};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Tells of each segment that starts, the newest where the registry is behind.
pub(super) fn reports(
    ctx: &Context,
    which: &Which,
    order: &Order,
    mut reports: watch::Receiver<Option<JobReport>>,
) -> JoinHandle<Option<()>> {
    let (client, channel, of) = (ctx.client.clone(), order.channel.clone(), which.of());
    task::spawn("job reports", async move {
        while reports.changed().await.is_ok() {
            let Some(report) = reports.borrow_and_update().clone() else { continue };
            if let Err(e) = client.job_report(&channel, of, report).await {
                tracing::debug!(%channel, "a report was not taken: {e}");
            }
        }
    })
}

/// Tells where a job ended.
pub(super) async fn ended(ctx: &Context, which: &Which, end: &End) {
    let (channel, job) = (&which.channel, which.writer());
    tracing::info!(%channel, %job, msn = %end.msn, "the rungs end");
    if let Err(e) = ctx.client.job_end(channel, which.of(), end_to_api(end)).await {
        tracing::warn!(%channel, %job, "the registry did not take the end: {e}");
    }
}

/// Tells that a job can't be done here, so that another node does it, and where it ended, if that
/// is known.
pub(super) async fn failed(ctx: &Context, which: &Which, e: &Failed, end: Option<&End>) {
    let (channel, job) = (&which.channel, which.writer());
    tracing::error!(%channel, %job, "the job can't be done here: {e}");
    let failure = Failure { why: e.to_string(), end: end.map(end_to_api) };
    if let Err(e) = ctx.client.job_failed(channel, which.of(), failure).await {
        tracing::warn!(%channel, %job, "the registry was not told: {e}");
    }
}

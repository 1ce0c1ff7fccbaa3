//! What the API server answers to requests about one job.

use super::{Routes, Said, body, json};
use crate::api::jobs::Given;
use crate::api::types::Refusal;
use crate::base::ids::{Channel, Generation, Job};
use crate::control::plan::schedule::Placement;
use axum::http::Method;
use hyper::body::Incoming;

impl Routes {
    pub(super) async fn job(
        &self,
        method: &Method,
        channel: &Channel,
        (generation, job): (Generation, Job),
        rest: &[&str],
        sent: Incoming,
    ) -> Result<Said, Refusal> {
        let (registry, of) = (&self.0.registry, (generation, job));
        match (method, rest) {
            (&Method::GET, []) => {
                json(registry.job(channel, generation, job, self.0.clock.now().wall).await?)
            }
            (&Method::PUT, ["report"]) => {
                let (report, now) = (body(sent).await?, self.0.clock.now().wall);
                json(registry.job_report(channel, of, &report, now).await?)
            }
            (&Method::PUT, []) => {
                let Given { node } = body(sent).await?;
                let placement = Placement { channel: channel.clone(), generation, job, node };
                let given = registry.place(&placement, self.0.clock.now().wall).await;
                self.0.changed.notify_one();
                json(given?)
            }
            (&Method::PUT, ["end"]) => {
                let ended = registry.job_end(channel, of, &body(sent).await?).await;
                self.0.unplaced.notify_one();
                json(ended?)
            }
            (&Method::PUT, ["failed"]) => {
                let (failure, now) = (body(sent).await?, self.0.clock.now().wall);
                let failed = registry.job_failed(channel, of, &failure, now).await;
                self.0.unplaced.notify_one();
                json(failed?)
            }
            _ => Err(Refusal::NotFound("no such request of a job".into())),
        }
    }
}

//! How a publisher ends: what the registry is told, what its log's last record says, and what is
//! left out where a newer generation has gone on.

use crate::api::types::{End, Refusal};
use crate::ingest::context::Ended;
use crate::ingest::convert;
use crate::ingest::live::Live;
use crate::ingest::publisher::{Publisher, Stage};

impl Publisher {
    /// Ends the generation, and with `session_over` the session: the registry answers first, then
    /// the last record is written and the log sealed. Of a log that takes nothing more, what it
    /// holds is the end, and there is room kept for that record.
    pub async fn end(self, session_over: bool) -> Ended {
        let now = self.ctx.clock.now();
        let Publisher { ctx, settings, grant, stage, broken, .. } = self;
        let tell = async |end: End| {
            // Whoever goes on after it may be told by this origin first.
            ctx.decided.note(&settings.name, grant.generation, end.clone());
            let told = ctx.client.end(&settings.name, grant.generation, end.clone()).await;
            told.map_err(|e| {
                let (channel, generation) = (&settings.name, grant.generation);
                tracing::warn!(%channel, %generation, "the registry did not take the end: {e}");
                (e, end)
            })
        };
        match stage {
            Stage::Live(live) if broken.is_some() => match live.holds().await {
                Ok(mut end) => {
                    let told = End { session_over, ..convert::end_to_api(&end) };
                    let untold = tell(told).await.err().map(|e| e.1);
                    end.session_over = session_over && untold.is_none();
                    if let Err(e) = live.seal_stopped(end).await {
                        tracing::warn!(channel = %settings.name, "left for recovery: {e}");
                    }
                    Ended { result: broken.map_or(Ok(()), |e| Err(e.into())), untold }
                }
                // What it holds is unknown: the registry decides by the last report.
                Err(e) => Ended { result: Err(e), untold: None },
            },
            Stage::Live(mut live) => {
                let (end, recorded) = live.end(now, session_over);
                let untold = match tell(convert::end_to_api(&end)).await {
                    Ok(()) => None,
                    // Who went on after it knows this end.
                    Err((Refusal::Fenced(_), _))
                        if ctx.decided.is_given(&settings.name, grant.generation) =>
                    {
                        None
                    }
                    // Its end was decided without it, and readers have left it: what they have not
                    // seen they shall not find later.
                    Err((Refusal::Fenced(_), _)) => return Publisher::replaced(live).await,
                    Err((_, end)) => Some(end),
                };
                let sealed = live.seal().await;
                let result = sealed.and_then(|s| match s.failed {
                    Some(e) => Err(e.into()),
                    None => recorded,
                });
                Ended { result, untold }
            }
            Stage::Probing(_) => {
                // Nothing was written: the generation ends before its first number.
                let end = End {
                    msn: grant.base.0.saturating_sub(1),
                    dseq: grant.dseq,
                    wall: grant.previous.as_ref().map_or(now.wall.0, |(_, e)| e.wall),
                    tracks: Vec::new(),
                    session_over: session_over || grant.record.is_none(),
                };
                match tell(end).await {
                    Ok(()) => Ended { result: Ok(()), untold: None },
                    Err((e, end)) => Ended { result: Err(e.into()), untold: Some(end) },
                }
            }
        }
    }

    /// Ends a log that a newer generation has gone on after: with what readers have seen of it.
    async fn replaced(mut live: Box<Live>) -> Ended {
        live.replace();
        let result = match live.holds().await {
            Ok(end) => live.seal_stopped(end).await.map(|_| ()),
            Err(e) => Err(e),
        };
        Ended { result, untold: None }
    }
}

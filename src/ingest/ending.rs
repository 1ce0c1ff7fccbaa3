//! How a publisher ends: what the registry is told, what its log's last record says, and what is
//! left out where a newer generation has gone on.

use crate::api::convert;
use crate::api::types::{End, Refusal};
use crate::ingest::context::Ended;
use crate::ingest::live::{Live, anchor};
use crate::ingest::publisher::{Publisher, Stage};

impl Publisher {
    /// Ends the generation, and with `session_over` the session: the registry answers first, or
    /// somebody asks who goes on and tells it; then the last record is written and the log sealed.
    /// Of a log that takes nothing more, what it holds is the end, and there is room kept for that
    /// record.
    pub async fn end(self, session_over: bool) -> Ended {
        let now = self.ctx.clock.now();
        let Publisher { ctx, settings, grant, stage, broken, .. } = self;
        let (channel, generation) = (&settings.name, grant.generation);
        let tell = async |end: End| {
            let told = tokio::select! {
                told = ctx.client.end(channel, generation, end.clone()) => told,
                () = ctx.decided.asked(channel, generation) => Ok(()),
            };
            told.map_err(|e| {
                tracing::warn!(%channel, %generation, "the registry did not take the end: {e}");
                (e, end)
            })
        };
        let settle = |end: End| ctx.decided.settle(channel, generation, end);
        match stage {
            Stage::Live(live) if broken.is_some() => match live.holds().await {
                Ok(mut end) => {
                    let told = End { session_over, ..convert::end_to_api(&end) };
                    let untold = tell(told.clone()).await.err().map(|e| e.1);
                    end.session_over = session_over && untold.is_none();
                    if let Err(e) = live.seal_stopped(end).await {
                        tracing::warn!(%channel, "left for recovery: {e}");
                    }
                    settle(told);
                    Ended { result: broken.map_or(Ok(()), |e| Err(e.into())), untold }
                }
                // What it holds is unknown: the registry decides by the last report.
                Err(e) => Ended { result: Err(e), untold: None },
            },
            Stage::Live(mut live) => {
                let (end, recorded) = live.end(now, session_over);
                let end = convert::end_to_api(&end);
                let untold = match tell(end.clone()).await {
                    Ok(()) => None,
                    // Its end was decided without it, and readers have left it: what they have not
                    // seen they shall not find later.
                    Err((Refusal::Fenced(_), _)) => return Publisher::replaced(live).await,
                    Err((_, end)) => Some(end),
                };
                let result = match live.seal().await {
                    Ok(sealed) => sealed.failed.map_or(recorded, |e| Err(e.into())),
                    Err(e) => Err(e),
                };
                if result.is_ok() {
                    settle(end);
                }
                Ended { result, untold }
            }
            Stage::Probing(_) => {
                // Nothing was written: the generation ends before its first number, and where its
                // first would have been: those that were passed over have their time.
                let tracks = grant.previous.as_ref().map(|(_, e)| e.tracks.clone());
                let end = End {
                    msn: grant.base.0.saturating_sub(1),
                    dseq: grant.dseq,
                    wall: anchor(&grant, now).unwrap_or(now.wall).0,
                    tracks: tracks.unwrap_or_default(),
                    session_over: session_over || grant.record.is_none(),
                };
                settle(end.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::Call;
    use crate::api::types::Grant;
    use crate::base::ids::{Generation, Msn, Session};
    use crate::base::time::Wall;
    use crate::ingest::desk::tests::{context, settings};
    use crate::rt::task;

    /// Where a generation ends that wrote nothing, whose base is this, at 100 s: the one before it
    /// ended with number 9, at 60 s.
    async fn ends(base: u64) -> End {
        let dir = tempfile::tempdir().expect("a directory");
        let (ctx, mut calls) = context(dir.path(), Wall(100_000_000));
        let (msn, dseq, wall, tracks) = (9, 1, 60_000_000, Vec::new());
        let before = End { msn, dseq, wall, tracks, session_over: false };
        let grant = Grant {
            session: Session(1),
            generation: Generation(3),
            base: Msn(base),
            dseq: 1,
            previous: Some((Generation(2), before)),
            record: None,
            render: None,
        };
        let publisher = Publisher::new(ctx, settings(), grant);
        let ending = task::spawn("ending", publisher.end(false));
        let Some(Call::End(_, _, end, reply)) = calls.calls.recv().await else { panic!("told") };
        reply.send(Ok(())).expect("awaited");
        ending.await.expect("ends").expect("no panic").result.expect("taken");
        end
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_that_were_passed_over_have_the_time_up_to_an_end_without_media() {
        let end = ends(10).await;
        assert_eq!((end.msn, end.wall), (9, 60_000_000), "nothing lies between");
        let end = ends(40).await;
        assert_eq!((end.msn, end.wall), (39, 100_000_000));
    }
}

//! Sessions of another registry, for who makes rungs of them that it knows nothing of: which there
//! are, and who writes them, is that one's to say; the jobs, and what becomes of them, are decided
//! here.

use super::Registry;
use super::db::{Fault, Tx, lock};
use super::numbers::{LastGeneration, Line};
use super::rows::{self, signed};
use crate::api::types::{LiveSession, Refusal, SessionRecord};
use crate::base::ids::{Channel, Msn, Session};
use crate::base::time::Wall;
use std::sync::Arc;

impl Registry {
    /// The newest session of a channel is this, says another registry. Its jobs follow its
    /// generations. Its constants are set by [`Registry::open_session`], as any other's.
    ///
    /// # Errors
    /// `Invalid` where sessions are this registry's own; `Unavailable`.
    pub async fn mirror(
        &self,
        channel: &Channel,
        live: &LiveSession,
        now: Wall,
    ) -> Result<(), Refusal> {
        if self.mirrors.is_none() {
            return Err(Refusal::Invalid("sessions are opened here, not told".into()));
        }
        self.db.answer(self.do_mirror(channel, live, now)).await
    }

    async fn do_mirror(
        &self,
        channel: &Channel,
        live: &LiveSession,
        now: Wall,
    ) -> Result<(), Fault> {
        let mut tx = self.db.write().await?;
        lock(&mut tx, channel.as_str(), 1).await?;
        let now = self.db.now(&mut tx, Some(now)).await?;
        let known = rows::last_generation(&mut tx, channel).await?.map(|l| l.generation);
        let new = live.generations.iter().filter(|(g, _)| Some(*g) > known);
        for (generation, node) in new {
            // Where its media begin is in its log; nobody asks for that here.
            let (base, dseq, line) = (Msn::default(), 0, Line { msn: Msn::default(), at: now });
            let granted = LastGeneration {
                generation: *generation,
                session: live.session,
                node: node.clone(),
                key: String::new(),
                base,
                dseq,
                granted: now,
                report: None,
                line,
                end: None,
            };
            rows::store_generation(&mut tx, channel, &granted).await?;
            let of = (live.session, *generation);
            self.jobs_follow(&mut tx, channel, of, node, now).await?;
        }
        sqlx::query("UPDATE session SET over = $3 WHERE channel = $1 AND session = $2")
            .bind(channel.as_str())
            .bind(signed(live.session.0))
            .bind(i64::from(live.over))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// A session's constants, for who can't find them in the source's log.
    pub(super) async fn shown_record(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        session: Session,
    ) -> Result<Option<Arc<SessionRecord>>, Fault> {
        match self.mirrors {
            Some(_) => Ok(rows::record(tx, channel, session).await?.map(Arc::new)),
            None => Ok(None),
        }
    }
}

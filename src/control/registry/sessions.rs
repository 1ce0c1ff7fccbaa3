//! Sessions and generations: granted, reported, ended, looked up. What is decided is decided in
//! `numbers`, under the lock of the channel's row.

use super::db::{Fault, Tx, int, json, lock, text, to_json};
use super::numbers::{self, LastGeneration, Line};
use super::rows::{self, signed};
use super::{Registry, Writer, keys, nodes};
use crate::api::cluster::Past;
use crate::api::types::{
    ChannelSettings, End, Grant, LiveSession, NodeName, Refusal, Report, SessionRecord,
    SessionSpan, Table, Want,
};
use crate::base::ids::{Channel, Generation, Msn, Session};
use crate::base::time::{Wall, micros};

/// Half the aim, in microseconds (TIMELINE section 6).
fn min_segment(settings: &ChannelSettings) -> i64 {
    micros(settings.segment) / 2
}

impl Registry {
    /// A new generation in the channel's open session, or in a new one. Without a key an open
    /// session is taken up, from a node that is not alive.
    ///
    /// # Errors
    /// `NoChannel`; the key's refusals; `Conflict` when there is nothing to take up; `Unavailable`.
    pub async fn grant(&self, channel: &Channel, want: &Want, now: Wall) -> Result<Grant, Refusal> {
        self.db.answer(self.do_grant(channel, want, now)).await
    }

    async fn do_grant(&self, channel: &Channel, want: &Want, now: Wall) -> Result<Grant, Fault> {
        let mut tx = self.db.write().await?;
        lock(&mut tx, channel.as_str(), 1).await?;
        let settings = self.settings(&mut tx, channel).await?.ok_or(Refusal::NoChannel)?;
        let now = self.db.now(&mut tx, Some(now)).await?;
        let session = rows::newest_session(&mut tx, channel).await?;
        let last = rows::last_generation(&mut tx, channel).await?;
        let key = self.key_to_write(&mut tx, channel, want, now).await?;
        let is_over = session.as_ref().map(|s| (s.0, s.1));
        let alive = match (&last, &want.key) {
            (Some(last), None) => self.is_alive(&mut tx, last, now).await?,
            _ => false,
        };
        numbers::may_write(want, last.as_ref(), is_over, alive)?;
        let next = numbers::next(last.as_ref(), is_over, now, min_segment(&settings));
        if let (Some(last), Some(end)) = (&last, &next.decided) {
            rows::store_end(&mut tx, channel, last.generation, end).await?;
        }
        let granted = LastGeneration {
            generation: next.generation,
            session: next.session,
            node: want.node.clone(),
            key,
            base: next.base,
            dseq: next.dseq,
            granted: next.granted,
            report: None,
            line: Line { msn: Msn(next.base.0 - 1), at: next.granted },
            end: None,
        };
        rows::store_generation(&mut tx, channel, &granted).await?;
        if next.previous.is_some() {
            let goes_on = (next.session, next.generation);
            self.jobs_follow(&mut tx, channel, goes_on, &want.node, next.granted).await?;
        }
        let render = nodes::render(&mut tx, now).await?;
        tx.commit().await?;
        let record = session.filter(|s| s.0 == next.session).and_then(|s| s.2);
        Ok(Grant {
            session: next.session,
            generation: next.generation,
            base: next.base,
            dseq: next.dseq,
            previous: next.previous,
            record: record.map(|r| json(&r)).transpose()?,
            render,
        })
    }

    /// The stored key that somebody wants to write with, if it is one and may be used; a key of the
    /// manifest is not stored.
    async fn key_to_write(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        want: &Want,
        now: Wall,
    ) -> Result<String, Fault> {
        let Some(id) = &want.key else { return Ok(String::new()) };
        match keys::stored(tx, channel, id).await? {
            Some(key) => {
                keys::usable(&key, now)?;
                Ok(key.id)
            }
            None => Ok(String::new()),
        }
    }

    /// Whom to ask to stop before a grant: the newest generation, if its end is not decided.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn writer(&self, channel: &Channel) -> Result<Option<Writer>, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let now = self.db.now(&mut tx, None).await?;
            let last = rows::last_generation(&mut tx, channel).await?;
            let Some(last) = last.filter(|l| l.end.is_none()) else { return Ok(None) };
            let alive = self.is_alive(&mut tx, &last, now).await?;
            let sql = "SELECT url FROM node WHERE name = $1";
            let row = sqlx::query(sql).bind(&*last.node).fetch_optional(&mut *tx).await?;
            let url = row.map(|r| text(&r, 0)).transpose()?.filter(|u| !u.is_empty());
            let (generation, session, node) = (last.generation, last.session, last.node);
            Ok(Some(Writer { generation, session, node, url, alive }))
        };
        self.db.answer(call).await
    }

    /// Sets a session's constants if they are not set, with the rungs that somebody has room for;
    /// answers the ones in force.
    ///
    /// # Errors
    /// `Fenced`, `Unavailable`.
    pub async fn open_session(
        &self,
        channel: &Channel,
        generation: Generation,
        record: &SessionRecord,
        now: Wall,
    ) -> Result<SessionRecord, Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 1).await?;
            let last = rows::last_generation(&mut tx, channel).await?;
            let last = last.filter(|l| l.generation == generation);
            let last = last.ok_or(Refusal::Fenced(generation))?;
            let set = rows::newest_session(&mut tx, channel).await?.and_then(|s| s.2);
            let settings = self.settings(&mut tx, channel).await?;
            let with = match (&set, settings) {
                (None, Some(settings)) => {
                    let now = self.db.now(&mut tx, Some(now)).await?;
                    let of = (channel, &*settings);
                    self.admit_rungs(&mut tx, of, &last, record, now).await?
                }
                _ => record.clone(),
            };
            sqlx::query(
                "UPDATE session SET record = $3 \
                 WHERE channel = $1 AND session = $2 AND record IS NULL",
            )
            .bind(channel.as_str())
            .bind(signed(last.session.0))
            .bind(to_json(&with)?)
            .execute(&mut *tx)
            .await?;
            let session = rows::newest_session(&mut tx, channel).await?;
            tx.commit().await?;
            let lost = || Refusal::Unavailable("the session's record was not stored".into());
            json(&session.and_then(|s| s.2).ok_or_else(lost)?)
        };
        self.db.answer(call).await
    }

    /// A segment started.
    ///
    /// # Errors
    /// `Fenced`; `KeyRevoked` when the generation's key was: its publish ends; `Unavailable`.
    pub async fn report(
        &self,
        channel: &Channel,
        generation: Generation,
        report: Report,
        now: Wall,
    ) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 0).await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let last = rows::last_generation(&mut tx, channel).await?;
            // The allowance of a channel that is gone is counted from its last number on.
            let settings = self.settings(&mut tx, channel).await?;
            let min = settings.as_ref().map_or(1, |s| min_segment(s));
            let news = numbers::reported(last.as_ref(), generation, report, now, min)?;
            let key = last.map(|l| l.key).unwrap_or_default();
            if !key.is_empty() {
                let key = keys::stored(&mut tx, channel, &key).await?;
                // An expired key ends no publish that runs.
                key.filter(|k| !k.revoked).ok_or(Refusal::KeyRevoked)?;
            }
            let Some(news) = news else { return Ok(()) };
            sqlx::query(
                "UPDATE generation SET msn = $3, report_dseq = $4, wall = $5, received = $6, \
                 line_msn = $7, line_at = $8 WHERE channel = $1 AND generation = $2",
            )
            .bind(channel.as_str())
            .bind(signed(generation.0))
            .bind(signed(news.report.msn.0))
            .bind(signed(news.report.dseq))
            .bind(news.report.wall.0)
            .bind(news.received.0)
            .bind(signed(news.line.msn.0))
            .bind(news.line.at.0)
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// A generation ended here. With `session_over` the session ends in the same transaction.
    ///
    /// # Errors
    /// `Fenced`, `Unavailable`.
    pub async fn end(
        &self,
        channel: &Channel,
        generation: Generation,
        end: &End,
    ) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 1).await?;
            let last = rows::last_generation(&mut tx, channel).await?;
            let ending = numbers::ended(last.as_ref(), generation, end)?;
            if ending.decides {
                rows::store_end(&mut tx, channel, generation, end).await?;
            }
            if let Some(last) = last.filter(|_| ending.over) {
                sqlx::query("UPDATE session SET over = 1 WHERE channel = $1 AND session = $2")
                    .bind(channel.as_str())
                    .bind(signed(last.session.0))
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// A session by its number.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn find(
        &self,
        channel: &Channel,
        session: Session,
    ) -> Result<Option<LiveSession>, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let sql = "SELECT s.over, CASE WHEN s.record IS NULL THEN 0 ELSE 1 END \
                       FROM session s WHERE s.channel = $1 AND s.session = $2";
            let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(session.0));
            let Some(row) = query.fetch_optional(&mut *tx).await? else { return Ok(None) };
            let over = int(&row, 0)? != 0;
            let open = int(&row, 1)? != 0;
            let now = self.db.now(&mut tx, None).await?;
            let generations = rows::generations(&mut tx, channel, session, now).await?;
            let jobs = rows::jobs(&mut tx, channel, session).await?;
            let record = self.shown_record(&mut tx, channel, session).await?;
            Ok(Some(LiveSession { session, over, open, generations, jobs, record }))
        };
        self.db.answer(call).await
    }

    /// All sessions of a channel, oldest first; none of one that never had any.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sessions(&self, channel: &Channel) -> Result<Vec<SessionSpan>, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let sessions = rows::sessions(&mut tx, channel).await?;
            let now = self.db.now(&mut tx, None).await?;
            let history = rows::history(&mut tx, channel, now).await?;
            let generations: Vec<_> = history.into_iter().map(|(g, _)| g).collect();
            Ok(numbers::spans(&sessions, &generations))
        };
        self.db.answer(call).await
    }

    /// What generations a channel has had, newest first.
    ///
    /// # Errors
    /// `NoChannel`; `Unavailable`.
    pub async fn history(&self, channel: &Channel) -> Result<Vec<Past>, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let now = self.db.now(&mut tx, None).await?;
            let all = rows::history(&mut tx, channel, now).await?;
            if all.is_empty() && self.settings(&mut tx, channel).await?.is_none() {
                return Err(Refusal::NoChannel.into());
            }
            let past = |(g, node): (LastGeneration, NodeName)| Past {
                generation: g.generation,
                session: g.session,
                node,
                base: g.base.0,
                granted: g.granted,
                reported: g.report.map(|(r, _)| (r.msn.0, r.wall)),
                end: g.end.map(|e| (e.msn, Wall(e.wall))),
            };
            Ok(all.into_iter().map(past).collect())
        };
        self.db.answer(call).await
    }

    /// The newest session of every channel there is, and where every node is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn table(&self, now: Wall) -> Result<Table, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let mut sessions = rows::live_sessions(&mut tx, now).await?;
            if self.mirrors.is_some() {
                // Who read a log whose constants say less would take its word.
                sessions.retain(|_, live| live.open || live.over);
                for (channel, live) in &mut sessions {
                    live.record = self.shown_record(&mut tx, channel, live.session).await?;
                }
            } else {
                let stored = self.stored_settings(&mut tx).await?;
                sessions.retain(|c, _| self.configured.contains_key(c) || stored.contains_key(c));
            }
            let sql = "SELECT name, url FROM node WHERE url <> ''";
            let rows = sqlx::query(sql).fetch_all(&mut *tx).await?;
            let pair = |r| Ok((text(r, 0)?.into(), text(r, 1)?));
            let nodes = rows.iter().map(pair).collect::<Result<_, sqlx::Error>>()?;
            Ok(Table { sessions, nodes })
        };
        self.db.answer(call).await
    }

    /// Differs after every change of the table: how many there were, and who lives.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn revision(&self, now: Wall) -> Result<(i64, Vec<String>), Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let sql = "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM channel_state";
            let changes = int(&sqlx::query(sql).fetch_one(&mut *tx).await?, 0)?;
            let sql = "SELECT name FROM node WHERE lease > $1 ORDER BY name";
            let alive = sqlx::query(sql).bind(now.0).fetch_all(&mut *tx).await?;
            let alive = alive.iter().map(|r| text(r, 0)).collect::<Result<_, _>>()?;
            Ok((changes, alive))
        };
        self.db.answer(call).await
    }
}

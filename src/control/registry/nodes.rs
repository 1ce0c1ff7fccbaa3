//! Nodes and their leases: who lives, who takes up what, what people are shown of it. Who is alive
//! is decided in `leases`.

use super::Registry;
use super::db::{Fault, Tx, int, json, lock, text, to_json};
use super::job_rows;
use super::leases::{self, GONE, Standing, lease_micros};
use super::numbers::LastGeneration;
use super::rows::{self, Newest};
use crate::api::auth::{NODE_NAME, is_node_name};
use crate::api::cluster::{Heartbeat, Lease, LogName, Node, Role, SessionState, Status};
use crate::api::jobs::Transcoder;
use crate::api::types::{NodeName, Refusal, Unfinished};
use crate::base::time::{Wall, micros};
use crate::control::plan::tiers;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a node that is gone is remembered which never wrote: edges come and go under new names.
const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// A node as stored.
struct Row {
    name: NodeName,
    said: Heartbeat,
    seen: Wall,
    lease: Wall,
}

async fn nodes(tx: &mut Tx) -> Result<Vec<Row>, Fault> {
    let sql = "SELECT name, said, seen, lease FROM node ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(&mut **tx).await?;
    let read = |r| {
        let (name, said) = (text(r, 0)?.into(), json(&text(r, 1)?)?);
        Ok(Row { name, said, seen: Wall(int(r, 2)?), lease: Wall(int(r, 3)?) })
    };
    rows.iter().map(read).collect()
}

/// When a node's lease runs out; `None` of one that never had one.
async fn lease_of(tx: &mut Tx, node: &NodeName) -> Result<Option<Wall>, Fault> {
    let sql = "SELECT lease FROM node WHERE name = $1";
    let row = sqlx::query(sql).bind(&**node).fetch_optional(&mut **tx).await?;
    Ok(row.map(|r| int(&r, 0)).transpose()?.map(Wall))
}

/// The newest render version that every live edge makes; `None` without one. In an upgrade edges go
/// first, and the last old one decides.
pub(super) async fn render(tx: &mut Tx, now: Wall) -> Result<Option<u32>, Fault> {
    let all = nodes(tx).await?;
    let edges = all.iter().filter(|n| n.said.role == Role::Edge && now < n.lease);
    Ok(edges.map(|n| n.said.render).min())
}

/// The transcoders there are, as a plan is told of them: a lease that does not run out now, because
/// it is calm, lasts on.
pub(super) async fn transcoders(
    tx: &mut Tx,
    now: Wall,
    calm: bool,
) -> Result<Vec<Transcoder>, Fault> {
    let all = nodes(tx).await?.into_iter().filter(|n| n.said.role == Role::Transcoder);
    let lease = |n: &Row| match leases::alive(Some(n.lease), n.seen, now, calm) {
        true => n.lease.max(now.plus(1)),
        false => n.lease.min(now),
    };
    let node = |n: Row| Transcoder {
        lease: lease(&n),
        name: n.name,
        capacity: n.said.capacity,
        draining: n.said.draining,
    };
    Ok(all.map(node).collect())
}

/// A newest session, for people.
pub(super) fn state_of(n: &Newest) -> SessionState {
    SessionState {
        session: n.session,
        over: n.over,
        generation: n.last.generation,
        node: n.last.node.clone(),
        reported: n.last.report.map(|(report, at)| (report.msn.0, at)),
        ended: n.last.end.is_some(),
    }
}

impl Registry {
    /// Does no lease run out now? This process or all of the registry may have been away.
    pub(super) async fn is_calm(&self, tx: &mut Tx, now: Wall) -> Result<bool, Fault> {
        let sql = "SELECT value FROM fact WHERE name = 'calm'";
        let row = sqlx::query(sql).fetch_optional(&mut **tx).await?;
        let until = row.map(|r| int(&r, 0)).transpose()?.map(Wall);
        let here = self.db.is_calm(now);
        Ok(here || until.is_some_and(|u| now < u))
    }

    /// Is the generation's node alive?
    pub(super) async fn is_alive(
        &self,
        tx: &mut Tx,
        last: &LastGeneration,
        now: Wall,
    ) -> Result<bool, Fault> {
        let lease = lease_of(tx, &last.node).await?;
        let calm = self.is_calm(tx, now).await?;
        Ok(leases::alive(lease, last.granted, now, calm))
    }

    /// Does a node live that is not asked about what it was granted?
    pub(super) async fn is_node_alive(
        &self,
        tx: &mut Tx,
        node: &NodeName,
        now: Wall,
    ) -> Result<bool, Fault> {
        if self.own_transcoder.as_ref().is_some_and(|own| own.name == *node) {
            return Ok(true);
        }
        let lease = lease_of(tx, node).await?.unwrap_or(GONE);
        let calm = self.is_calm(tx, now).await?;
        Ok(leases::alive(Some(lease), Wall(0), now, calm))
    }

    /// A node says that it lives.
    ///
    /// # Errors
    /// `Invalid` for a name that can't be one; `Unavailable`.
    pub async fn heartbeat(
        &self,
        node: &NodeName,
        said: &Heartbeat,
        now: Wall,
    ) -> Result<Lease, Refusal> {
        if !is_node_name(node) {
            return Err(Refusal::Invalid(format!("{node:?} is no node's name: {NODE_NAME}")));
        }
        self.db.answer(self.do_heartbeat(node, said, now)).await
    }

    async fn do_heartbeat(
        &self,
        node: &NodeName,
        said: &Heartbeat,
        now: Wall,
    ) -> Result<Lease, Fault> {
        // Without the nodes' lock: a cluster's heartbeats would wait for each other, and with them
        // every call that takes it. Each writes its own row, and "calm", which all say at once when
        // the database is back, is out before anything else is done.
        let mut tx = self.db.write().await?;
        let now = self.db.now(&mut tx, Some(now)).await?;
        let row =
            sqlx::query("SELECT COALESCE(MAX(seen), 0) FROM node").fetch_one(&mut *tx).await?;
        let heard = Some(Wall(int(&row, 0)?)).filter(|w| *w != Wall(0));
        if leases::was_deaf(heard, now) {
            sqlx::query(
                "INSERT INTO fact (name, value) VALUES ('calm', $1) \
                 ON CONFLICT (name) DO UPDATE SET value = $1",
            )
            .bind(now.plus(lease_micros()).0)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            tx = self.db.write().await?;
        }
        let sql = "SELECT url FROM node WHERE name = $1";
        let row = sqlx::query(sql).bind(&**node).fetch_optional(&mut *tx).await?;
        let before = row.map(|r| text(&r, 0)).transpose()?.unwrap_or_default();
        let url = said.url.clone().unwrap_or_default();
        if before != url {
            lock(&mut tx, "", 1).await?;
        }
        sqlx::query(
            "INSERT INTO node (name, said, url, seen, lease, draining) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) \
             DO UPDATE SET said = $2, url = $3, seen = $4, lease = $5, draining = $6",
        )
        .bind(&**node)
        .bind(to_json(said)?)
        .bind(url)
        .bind(now.0)
        .bind(now.plus(lease_micros()).0)
        .bind(i64::from(said.draining))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM node WHERE seen < $1 AND lease < $1 \
             AND NOT EXISTS \
             (SELECT 1 FROM generation g WHERE g.node = node.name OR g.holder = node.name)",
        )
        .bind(now.plus(-micros(REMEMBERED)).0)
        .execute(&mut *tx)
        .await?;
        let unfinished = match said.role == Role::Origin && !said.draining {
            true => self.to_take_up(&mut tx, node, now).await?.iter().any(|n| n.last.node != *node),
            false => false,
        };
        let through = match said.role {
            Role::Edge => tiers::through(node, &self.known(&mut tx, now).await?, self.fanout),
            Role::Origin | Role::Collector | Role::Transcoder => None,
        };
        tx.commit().await?;
        Ok(Lease { unfinished, through })
    }

    /// Every node, by name, and whether it lives.
    async fn known(&self, tx: &mut Tx, now: Wall) -> Result<Vec<Node>, Fault> {
        let calm = self.is_calm(tx, now).await?;
        let node = |r: Row| {
            let alive = leases::alive(Some(r.lease), r.seen, now, calm);
            Node { name: r.name, said: r.said, seen: r.seen, alive }
        };
        Ok(nodes(tx).await?.into_iter().map(node).collect())
    }

    /// Open sessions that `node` wrote last, and those of nodes that are gone which it takes up.
    async fn to_take_up(
        &self,
        tx: &mut Tx,
        node: &NodeName,
        now: Wall,
    ) -> Result<Vec<Newest>, Fault> {
        let calm = self.is_calm(tx, now).await?;
        let rows = nodes(tx).await?;
        let lease: BTreeMap<_, _> = rows.iter().map(|r| (r.name.clone(), r.lease)).collect();
        let standing = |r: Row| Standing {
            name: r.name,
            role: r.said.role,
            draining: r.said.draining,
            lease: r.lease,
        };
        let standing: Vec<Standing> = rows.into_iter().map(standing).collect();
        let mut open = rows::open_newest(tx, node, now).await?;
        open.retain(|n| {
            let (of, granted) = (lease.get(&n.last.node).copied(), n.last.granted);
            n.last.node == *node
                || (!leases::alive(of, granted, now, calm)
                    && leases::appointed(&n.channel, &standing, now) == Some(node))
        });
        Ok(open)
    }

    /// Sessions that are not over and that `node` wrote last, and those of nodes that are gone
    /// which it is appointed to take up.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn unfinished(&self, node: &NodeName, now: Wall) -> Result<Vec<Unfinished>, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let mut out = Vec::new();
            for n in self.to_take_up(&mut tx, node, now).await? {
                let Some(settings) = self.settings(&mut tx, &n.channel).await? else { continue };
                let (session, generation, end) = (n.session, n.last.generation, n.last.end);
                out.push(Unfinished { settings, session, generation, end });
            }
            Ok(out)
        };
        self.db.answer(call).await
    }

    /// A node has adopted these logs; those that the registry does not know are passed over.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn hold(&self, node: &NodeName, logs: &[LogName]) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, "", 1).await?;
            for log in logs {
                rows::store_holder(&mut tx, node, log).await?;
            }
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// A drained node says goodbye: its lease ends now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn leave(&self, node: &NodeName) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            let sql = "UPDATE node SET lease = $2 WHERE name = $1";
            sqlx::query(sql).bind(&**node).bind(GONE.0).execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// Everything at a glance.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn status(&self, now: Wall) -> Result<Status, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let nodes = self.known(&mut tx, now).await?;
            let mut channels: BTreeMap<_, Option<SessionState>> = BTreeMap::new();
            channels.extend(self.configured.keys().map(|c| (c.clone(), None)));
            let stored = self.stored_settings(&mut tx).await?;
            channels.extend(stored.into_keys().map(|c| (c, None)));
            for n in rows::every_newest(&mut tx).await? {
                if let Some(session) = channels.get_mut(&n.channel) {
                    *session = Some(state_of(&n));
                }
            }
            let jobs = job_rows::states(&mut tx).await?;
            Ok(Status { now, nodes, channels: channels.into_iter().collect(), jobs })
        };
        self.db.answer(call).await
    }
}

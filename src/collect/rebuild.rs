//! What a bucket holds, by asking the bucket alone: its names, and the ends of its extents.

use crate::catalog::about::Sealed;
use crate::catalog::key::{Key, Part};
use crate::catalog::rebuild::{Catalog, Covers};
use crate::collect::restore::{Lost, Told};
use crate::log::format::extent::{TRAILER_LEN, footer_start};
use crate::log::format::footer::Footer;
use crate::rt::task;
use crate::store::error::StoreError;
use crate::store::port::Store;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Objects that are looked at together: each costs one small range, whose answer is a round trip
/// away.
const READS: usize = 16;

/// What is read of an extent's end: most footers are shorter.
const TAIL: u64 = 64 << 10;

/// What one object says.
enum Said {
    Covers(Key, Result<Covers, String>, Box<Told>),
    Sealed(Key, Result<u32, String>),
}

/// Lists a bucket, and reads the footer of every extent in it: what is there, and what it tells of
/// generations. `tell` is told after each object
/// how many were looked at, and of how many.
///
/// # Errors
/// The bucket cannot be listed or read. What is damaged is in the catalog.
pub async fn rebuild(
    store: &Store,
    tell: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(Catalog, Lost), StoreError> {
    let (mut catalog, mut lost) = (Catalog::default(), Lost::default());
    let named = store.list("", None).await?;
    let wanted: Vec<(Key, u64)> = named
        .iter()
        .filter_map(|entry| Some((catalog.name(&entry.key, entry.bytes)?, entry.bytes)))
        .collect();
    let (all, seats) = (wanted.len() as u64, Arc::new(Semaphore::new(READS)));
    let mut tasks = Vec::with_capacity(wanted.len());
    for (key, bytes) in wanted {
        let seat = Arc::clone(&seats).acquire_owned().await;
        let store = store.clone();
        tasks.push(task::spawn("footer", async move {
            let said = look(&store, key, bytes).await;
            drop(seat);
            said
        }));
        tell(tasks.len() as u64, all);
    }
    for task in tasks {
        let said = task.await.ok().flatten().expect("a look that panics is a bug")?;
        match said {
            Said::Covers(key, covers, told) => {
                lost.learn(&key, *told);
                catalog.covers(&key, covers);
            }
            Said::Sealed(key, Ok(extents)) => catalog.sealed(&key.log, extents),
            Said::Sealed(key, Err(_)) => {
                catalog.strangers.insert(key.to_string());
            }
        }
    }
    Ok((catalog, lost))
}

async fn look(store: &Store, key: Key, bytes: u64) -> Result<Said, StoreError> {
    let name = key.to_string();
    if key.part == Part::Sealed {
        let said = store.small(&name).await?;
        let sealed = serde_json::from_slice::<Sealed>(&said);
        return Ok(Said::Sealed(key, sealed.map(|s| s.extents).map_err(|e| e.to_string())));
    }
    let tail = store.range(&name, bytes.saturating_sub(TAIL)..bytes).await?;
    let Some(start) = footer_start(bytes, &tail) else {
        return Ok(Said::Covers(key, Err("it has no footer".to_owned()), Box::default()));
    };
    let from = bytes - tail.len() as u64;
    let footer = match start.checked_sub(from) {
        Some(at) => tail.slice(at as usize..),
        None => store.range(&name, start..bytes - TRAILER_LEN as u64).await?,
    };
    Ok(match Footer::decode(&footer) {
        Ok(footer) => {
            let covers = Covers { wall: footer.wall, msn: footer.msn };
            Said::Covers(key, Ok(covers), Box::new(Told::of(&footer)))
        }
        Err(e) => Said::Covers(key, Err(e.to_string()), Box::default()),
    })
}

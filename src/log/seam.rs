//! A subscription to a log whose oldest extents are only in a bucket: what its node has removed is
//! read there, and the rest at the node, as one.

use crate::log::error::LogError;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::site::{Files, Site};
use crate::log::source::Source;
use crate::log::subscription::From;
use std::sync::Arc;

/// The two places of one log.
pub(super) struct Seam {
    near: Arc<Source>,
    bucket: Files,
    /// Extents before this one are read in the bucket.
    first: u32,
}

impl Seam {
    /// As far as is known, nothing is removed at the node.
    pub(super) fn new(near: &Arc<Source>, bucket: Files) -> Seam {
        Seam { near: Arc::clone(near), bucket, first: 0 }
    }

    /// Extents before `first` are not at the node.
    pub(super) fn begins(&mut self, first: u32) {
        self.first = first;
    }

    /// The bucket, where that is where to read.
    pub(super) fn far(&self, at: Position) -> Option<Files> {
        (at.extent < self.first).then(|| self.bucket.clone())
    }

    /// The node has removed what is before `first`: where it is read from there on. Cancel-safe.
    pub(super) async fn moves(&mut self, first: u32) -> Result<Site, LogError> {
        let at = Position { extent: first, ..HEADER_POSITION };
        let log = Box::pin(self.near.subscribe(&self.bucket.id, From::Position(at))).await?;
        self.first = first;
        Ok(log.into_site())
    }

    /// An extent is nowhere.
    pub(super) fn nowhere(&self, at: Position) -> LogError {
        let Files { id, dir, .. } = &self.bucket;
        let path = format!("extent {} of {id}, at its node and in {}", at.extent, dir.display());
        LogError::NotFound { path: path.into() }
    }
}

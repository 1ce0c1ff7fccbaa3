//! What is pushed: sessions as an edge has them. The edge is another room; `cmd` says how it is
//! this.

use crate::api::types::Refusal;
use crate::base::ids::{Channel, Session as Number};
use crate::hls::name::File;
use crate::hls::window::Window;
use crate::media::timeline::mark::SessionRecord;
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;

/// Why media cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// It is not there, and will not be.
    Never,
    /// Its log can't be read now.
    NotNow,
}

/// Where sessions are followed.
pub trait Live: Clone + Send + Sync + 'static {
    /// A session that is followed.
    type Session: Session;

    /// Follows a session, once its constants are known; `None` when the channel never had it.
    ///
    /// # Errors
    /// It can't be followed now.
    fn follow(
        &self,
        channel: &Channel,
        number: Number,
    ) -> impl Future<Output = Result<Option<Self::Session>, Refusal>> + Send;
}

/// A session that is followed.
pub trait Session: Clone + Send + Sync + 'static {
    /// What tells of changes.
    type Changes: Changes;

    /// Its constants.
    fn record(&self) -> &Arc<SessionRecord>;

    /// Resolves when it is to be followed anew; it is followed for as long as this is waited for.
    fn held(&self) -> impl Future<Output = ()> + Send;

    /// What is asked of a rendition's window; `None` before what was recorded of it has been read,
    /// and of a rendition that the session does not have.
    fn look<R>(&self, rendition: &str, ask: impl FnOnce(&Window) -> R) -> Option<R>;

    /// A rendition's changes from now on; `None` where the session has none of that name.
    fn changes(&self, rendition: &str) -> Option<Self::Changes>;

    /// The bytes of a complete segment or an init section, in pieces.
    fn bytes(
        &self,
        rendition: &str,
        file: &File,
    ) -> impl Future<Output = Result<Vec<Bytes>, Lost>> + Send;
}

/// Changes of a rendition.
pub trait Changes: Send + 'static {
    /// Resolves when there was one since this was last asked.
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}

//! Why a session is pushed no further.

use crate::store::error::StoreError;

/// See the module. What a store can't do now is none: it is tried until it can.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PushError {
    /// An object has the name and other bytes, or the playlist is not the version that was seen.
    #[error(
        "{0}; it is another one, and is left as it is: give each cluster a prefix of its own, and \
         an empty one to a cluster that begins anew"
    )]
    Taken(StoreError),
    /// What is there is no playlist of this session.
    #[error(
        "{url}: what is there is no playlist of this session, and is left as it is: give each \
         cluster a prefix of its own"
    )]
    Foreign {
        /// The playlist.
        url: String,
    },
    /// The process ends.
    #[error("stopped")]
    Stopped,
    /// The session is to be followed anew.
    #[error("the session is not read any more")]
    Gone,
}

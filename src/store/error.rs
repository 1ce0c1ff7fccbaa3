//! What can go wrong with a bucket, with the object's URL in every message.

use crate::base::error::Kind;

/// An object could not be put, read or listed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The URL, or what the environment says of its store, is no use.
    #[error("{url}: {why}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It may work later.
    #[error("{url}: the store does not do it now: {why}")]
    Unavailable {
        /// The object, or the prefix.
        url: String,
        /// Its answer, or why there is none.
        why: String,
    },
    /// The credentials are not accepted, or may not do this.
    #[error("{url}: the store refuses: {why}")]
    Denied {
        /// The object, or the prefix.
        url: String,
        /// Its answer.
        why: String,
    },
    /// There is no such object, or no such bucket.
    #[error("{url}: there is no such object")]
    NotFound {
        /// The object.
        url: String,
    },
    /// The name is taken.
    #[error("{url}: there is such an object already")]
    Exists {
        /// The object.
        url: String,
    },
    /// The object's bytes are not those that were put.
    #[error("{url}: {why}")]
    Corrupt {
        /// The object.
        url: String,
        /// How that shows.
        why: String,
    },
}

impl StoreError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            StoreError::Url { .. } => Kind::Invalid,
            StoreError::Unavailable { .. } => Kind::Unavailable,
            StoreError::Denied { .. } => Kind::Denied,
            StoreError::NotFound { .. } => Kind::NotFound,
            StoreError::Exists { .. } => Kind::Conflict,
            StoreError::Corrupt { .. } => Kind::DataLoss,
        }
    }

    /// In the store's library's words.
    pub(super) fn of(url: String, e: object_store::Error) -> StoreError {
        use object_store::Error as E;
        let why = innermost(&e);
        match e {
            E::NotFound { .. } => StoreError::NotFound { url },
            E::AlreadyExists { .. } | E::Precondition { .. } => StoreError::Exists { url },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                StoreError::Denied { url, why }
            }
            E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => {
                StoreError::Url { url, why }
            }
            _ => StoreError::Unavailable { url, why },
        }
    }
}

/// Longest text of a store that is repeated: some answer with a page.
const WHY_MAX: usize = 300;

/// The cause that says most: what wraps it repeats the URL and counts tries.
pub(super) fn innermost(e: &object_store::Error) -> String {
    let chain = std::iter::successors(std::error::Error::source(e), |e| e.source());
    let text = chain.last().map_or_else(|| e.to_string(), ToString::to_string);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WHY_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

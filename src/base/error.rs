//! The kinds of failure that callers can act on. Rooms have their own typed errors; each maps to
//! one of these, and a kind maps once to an HTTP status (in `edge`) and once to an exit code (in
//! `cmd`).

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The named thing does not exist.
    NotFound,
    /// It may work later; nothing is wrong with the request.
    Unavailable,
    /// The request or the input is wrong and will stay wrong.
    Invalid,
    /// Somebody else holds it, or a newer generation exists.
    Conflict,
    /// Stored bytes are damaged or missing.
    DataLoss,
    /// A limit was reached (disk, memory, a named constant).
    Exhausted,
    /// The secret presented is not accepted.
    Denied,
    /// The operating system or a peer failed.
    Internal,
}

//! What HTTP clients of other nodes share.

/// A client's error with its cause, without the URL that stands beside it: reqwest's own words
/// stop at "error sending request", and those between say nothing to an operator.
pub fn said(e: &reqwest::Error) -> String {
    let why = match e {
        e if e.is_timeout() => "no answer in time",
        e if e.is_connect() => "cannot connect",
        _ => "the answer broke off",
    };
    let cause = std::iter::successors(std::error::Error::source(e), |e| e.source()).last();
    cause.map_or_else(|| why.to_owned(), |cause| format!("{why}: {cause}"))
}

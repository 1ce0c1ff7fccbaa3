//! What HTTP clients of other nodes share.

/// A client's error with its causes, without the URL that stands beside it.
pub fn said(e: &reqwest::Error) -> String {
    let mut why = match e {
        e if e.is_timeout() => "no answer in time".to_owned(),
        e if e.is_connect() => "cannot connect".to_owned(),
        _ => "the answer broke off".to_owned(),
    };
    let mut source = std::error::Error::source(e);
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    why
}

//! The HTTP client that the stores' library is given: the one that the rest of castctl has, with
//! its TLS.

use http_body_util::BodyExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A store that takes no connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer that stands still for so long has broken off.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// One request with its answer: a part of 8 MiB at little more than 1 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes the client, once a store.
#[derive(Debug)]
pub(super) struct Connector;

/// A client. Its requests go to the endpoint of the store and nowhere else.
#[derive(Debug)]
struct Client(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .no_gzip()
            .build()
            .map_err(|e| object_store::Error::Generic { store: "HTTP", source: Box::new(e) })?;
        Ok(HttpClient::new(Client(client)))
    }
}

type Answer<'f> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>;

impl HttpService for Client {
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> Answer<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let asks = head.method == reqwest::Method::GET || head.method == reqwest::Method::HEAD;
            let request = self.0.request(head.method, head.uri.to_string()).headers(head.headers);
            let request = match asks {
                true => request,
                false => request.body(reqwest::Body::wrap(body)),
            };
            let answer = request.send().await.map_err(failed)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = reqwest::Body::from(answer).map_err(failed);
            let mut answer = HttpResponse::new(HttpResponseBody::new(body));
            (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
            Ok(answer)
        })
    }
}

/// What failed decides whether the request is made again.
fn failed(e: reqwest::Error) -> HttpError {
    let kind = match &e {
        e if e.is_timeout() => HttpErrorKind::Timeout,
        e if e.is_connect() => HttpErrorKind::Connect,
        e if e.is_builder() => HttpErrorKind::Unknown,
        _ => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, e.without_url())
}

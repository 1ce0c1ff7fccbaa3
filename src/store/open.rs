//! Opening a store by its URL, with what the environment says of it.

use crate::store::error::{StoreError, innermost};
use crate::store::http::Connector;
use crate::store::port::Store;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use reqwest::Url;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Tries of one request after the first. What fails all of them is left to the caller, who comes
/// again: more tries here would hold up an extent that another request could carry.
const RETRIES: usize = 4;

/// ... and the time after which none is begun. A store that throttles asks for seconds, not for
/// minutes.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// The pauses between tries: from here on, doubled, up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The schemes of stores.
const SCHEMES: [&str; 4] = ["s3", "gs", "az", "file"];

/// Which variables of the environment say how a store is reached.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// How stores are reached: credentials, endpoints, regions, by the names of environment variables.
#[derive(Clone, Default)]
pub struct Access {
    settings: Vec<(String, String)>,
}

impl Access {
    /// What the process was started with.
    pub fn from_env() -> Access {
        let all = std::env::vars_os();
        all.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
    }

    /// The settings whose name begins so, in the library's spelling.
    fn of<'a>(&'a self, prefix: &'static str) -> impl Iterator<Item = (String, String)> + use<'a> {
        let ours = self.settings.iter().filter(move |(k, _)| k.starts_with(prefix));
        ours.map(|(k, v)| (k.to_ascii_lowercase(), v.clone()))
    }
}

impl FromIterator<(String, String)> for Access {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Access {
        let ours = |(k, _): &(String, String)| PREFIXES.iter().any(|p| k.starts_with(p));
        Access { settings: all.into_iter().filter(ours).collect() }
    }
}

/// Secrets are not printed.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.settings.iter().map(|(k, _)| k)).finish()
    }
}

/// Is this text the URL of a store?
pub fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// The directory that a `file:///DIR` URL names; `None` of any other.
pub fn directory(text: &str) -> Option<PathBuf> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "file")?;
    url.to_file_path().ok()
}

/// Opens a store. `file:///DIR`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` and
/// `az://CONTAINER/PREFIX` are known; nothing is asked of it yet.
///
/// # Errors
/// The URL is none of those, or the environment says something impossible.
pub fn open(text: &str, access: &Access) -> Result<Store, StoreError> {
    let bad = |why: String| StoreError::Url { url: text.to_owned(), why };
    let url = Url::parse(text).map_err(|e| bad(format!("not a URL: {e}")))?;
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(bad("it has more than a bucket and a prefix".to_owned()));
    }
    let base = Path::from_url_path(url.path()).map_err(|e| bad(e.to_string()))?;
    let library = |e: object_store::Error| bad(innermost(&e));
    let needs_bucket = || match url.host_str() {
        Some(bucket) if !bucket.is_empty() => Ok(bucket.to_owned()),
        _ => Err(bad("it names no bucket".to_owned())),
    };
    let inner: Arc<dyn ObjectStore> = match url.scheme() {
        "file" => {
            if url.host_str().is_some() {
                return Err(bad("a directory is written file:///DIR".to_owned()));
            }
            Arc::new(LocalFileSystem::new().with_fsync(true))
        }
        "s3" => Arc::new(s3(&needs_bucket()?, access).map_err(library)?),
        "gs" => Arc::new(gs(&needs_bucket()?, access).map_err(library)?),
        "az" => Arc::new(az(&needs_bucket()?, access).map_err(library)?),
        scheme => {
            let known = SCHEMES.join("://, ");
            return Err(bad(format!("{scheme}:// is no store that is known: {known}://")));
        }
    };
    let keeps_sums = url.scheme() != "file";
    Ok(Store::new(inner, text, base, keeps_sums))
}

/// A store in memory, for tests: gone with its last clone.
pub fn in_memory() -> Store {
    Store::new(Arc::new(InMemory::new()), "memory:///", Path::default(), true)
}

fn retry() -> RetryConfig {
    let (init_backoff, max_backoff) = (RETRY_PAUSE, RETRY_PAUSE_MAX);
    RetryConfig {
        backoff: BackoffConfig { init_backoff, max_backoff, base: 2.0 },
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}

/// A builder with every setting that it knows; those of the environment that it does not are not
/// for it.
macro_rules! configured {
    ($builder:ty, $prefix:literal, $access:expr) => {
        $access
            .of($prefix)
            .fold(<$builder>::new(), |builder, (key, value)| match key.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            })
            .with_retry(retry())
            .with_http_connector(Connector)
    };
}

fn s3(bucket: &str, access: &Access) -> object_store::Result<impl ObjectStore + use<>> {
    configured!(AmazonS3Builder, "AWS_", access).with_bucket_name(bucket).build()
}

fn gs(bucket: &str, access: &Access) -> object_store::Result<impl ObjectStore + use<>> {
    configured!(GoogleCloudStorageBuilder, "GOOGLE_", access).with_bucket_name(bucket).build()
}

fn az(container: &str, access: &Access) -> object_store::Result<impl ObjectStore + use<>> {
    configured!(MicrosoftAzureBuilder, "AZURE_", access).with_container_name(container).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_are_no_stores_are_refused_in_words() {
        for (url, why) in [
            ("bucket", "not a URL"),
            ("ftp://bucket/x", "ftp:// is no store that is known: s3://, gs://, az://, file://"),
            ("file://host/x", "a directory is written file:///DIR"),
            ("s3:///x", "it names no bucket"),
            ("s3://bucket/x?y", "more than a bucket and a prefix"),
            ("gs://key@bucket/x", "more than a bucket and a prefix"),
        ] {
            let e = open(url, &Access::default()).expect_err(url).to_string();
            assert!(e.starts_with(url) && e.contains(why), "{e}");
        }
        for url in ["s3://b/x", "gs://b", "az://b/", "file:///x"] {
            assert!(is_url(url), "{url}");
        }
        assert_eq!(directory("file:///a%20b/c"), Some("/a b/c".into()));
        assert_eq!(directory("s3://b/x"), None);
        for path in ["s3/x", "rtmp://x/y", "http://x/y", "/x", "s3:/x"] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[test]
    fn access_is_what_the_clouds_own_tools_read_and_keeps_its_secrets() {
        let of = |all: &[(&str, &str)]| -> Access {
            all.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
        };
        let secret = ("AWS_SECRET_ACCESS_KEY", "hush");
        let half = open("s3://bucket/pre/fix", &of(&[secret])).expect_err("a key without a name");
        assert!(half.to_string().contains("Missing AccessKeyId"), "{half}");
        let id = ("AWS_ACCESS_KEY_ID", "me");
        let access = of(&[secret, id, ("PATH", "/bin"), ("AWS_NOVELTY", "1")]);
        let text = format!("{access:?}");
        assert!(text.contains("AWS_SECRET") && !text.contains("hush"), "{text}");
        assert!(!text.contains("PATH"), "{text}");
        let store = open("s3://bucket/pre/fix", &access).expect("a setting nobody knows is none");
        assert_eq!(store.url(), "s3://bucket/pre/fix");
    }
}

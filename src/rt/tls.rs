//! TLS for listeners: a certificate and its key from two PEM files, read again when they change, so
//! that a renewed certificate needs no restart.
//!
//! Invariant: what cannot be used never replaces what is in use.

use crate::rt::clock::Clock;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How often the files are looked at: a renewal has days, a mount is replaced within a minute.
const LOOK: Duration = Duration::from_secs(10);

/// Largest file that is read: a chain of a few certificates has some 10 KiB.
pub const FILE_MAX: u64 = 1 << 20;

/// What an HTTP listener offers (RFC 7301, RFC 9113).
pub const HTTP: [&str; 2] = ["h2", "http/1.1"];

/// A connection over TLS.
pub type Secured = TlsStream<TcpStream>;

/// Where a listener's certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those that vouch for it, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is no certificate or key.
    #[error("{}: {why}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// They do not belong together, or their kind is not supported.
    #[error("{} and {}: {why}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
}

/// A listener's TLS: what accepts handshakes, and what keeps the certificate new.
#[derive(Clone)]
pub struct Tls {
    files: Files,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files. `protocols` are offered by ALPN, the preferred first; none for a protocol
    /// that has no name there.
    ///
    /// # Errors
    /// They cannot be read or used; the message names the file.
    pub fn load(files: Files, protocols: &[&str]) -> Result<Tls, TlsError> {
        let current = Arc::new(Current(RwLock::new(read(&files)?)));
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| pair(&files, why))?;
        let mut config =
            config.with_no_client_auth().with_cert_resolver(Arc::<Current>::clone(&current));
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Tls { files, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Accepts handshakes.
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Takes up new files for as long as it runs. Ones that cannot be used are told once, and the
    /// old ones stay in use.
    pub async fn watch(self, clock: Clock) {
        let mut known = self.look().await;
        loop {
            let next = clock.now().mono.plus(LOOK);
            clock.sleep_until(next).await;
            let seen = self.look().await;
            if seen == known {
                continue;
            }
            self.renew().await;
            known = seen;
        }
    }

    /// The files' bytes; `None` while one cannot be read.
    async fn look(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let certificate = bytes(&self.files.certificate).ok()?;
        Some((certificate, bytes(&self.files.key).ok()?))
    }

    /// Takes the files up as they are now.
    async fn renew(&self) {
        let name = self.files.certificate.display();
        match read(&self.files) {
            Ok(new) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = new;
                tracing::info!("a new certificate is in use: {name}");
            }
            Err(e) => tracing::error!("the old certificate stays in use: {e}"),
        }
    }
}

/// The certificate in use.
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.files.certificate.display())
    }
}

fn pair(files: &Files, why: rustls::Error) -> TlsError {
    let Files { certificate, key } = files.clone();
    TlsError::Pair { certificate, key, why }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let len = std::fs::metadata(path).map_err(failed)?.len();
    if len > FILE_MAX {
        let why = format!("it has {len} bytes; a certificate or key has at most {FILE_MAX}");
        return Err(TlsError::Pem { path: path.to_owned(), why });
    }
    std::fs::read(path).map_err(failed)
}

fn read(files: &Files) -> Result<Arc<CertifiedKey>, TlsError> {
    let pem = |path: &Path, why: String| TlsError::Pem { path: path.to_owned(), why };
    let text = bytes(&files.certificate)?;
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|e| pem(&files.certificate, e.to_string()))?;
    if chain.is_empty() {
        return Err(pem(&files.certificate, "it holds no certificate in PEM form".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?)
        .map_err(|_| pem(&files.key, "it holds no private key in PEM form".into()))?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    certified.map(Arc::new).map_err(|why| pair(files, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate for `localhost`, written to `dir`.
    fn write(dir: &Path) -> (Files, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let files = Files { certificate: dir.join("tls.crt"), key: dir.join("tls.key") };
        std::fs::write(&files.certificate, made.cert.pem()).expect("written");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
        (files, made.cert.der().to_vec())
    }

    fn in_use(tls: &Tls) -> Vec<u8> {
        tls.current.0.read().expect("no panic").cert[0].to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_certificate_is_taken_up_and_a_bad_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, first) = write(dir.path());
        let tls = Tls::load(files.clone(), &HTTP).expect("loaded");
        assert_eq!(in_use(&tls), first);
        let clock = Clock::system();
        let watch = crate::rt::task::spawn("tls", tls.clone().watch(clock.clone()));
        let pause = || async {
            let until = clock.now().mono.plus(LOOK * 2);
            clock.sleep_until(until).await;
        };
        pause().await;
        let (_, second) = write(dir.path());
        pause().await;
        assert_eq!(in_use(&tls), second);
        // Half a write, then a key of another certificate, then no file at all.
        std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nMII").expect("written");
        pause().await;
        assert_eq!(in_use(&tls), second);
        let other = tempfile::tempdir().expect("a directory");
        let (strange, _) = write(other.path());
        std::fs::copy(&strange.certificate, &files.certificate).expect("copied");
        pause().await;
        assert_eq!(in_use(&tls), second);
        std::fs::remove_file(&files.key).expect("removed");
        pause().await;
        assert_eq!(in_use(&tls), second);
        let (_, third) = write(dir.path());
        pause().await;
        assert_eq!(in_use(&tls), third);
        watch.abort();
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, _) = write(dir.path());
        let said = |files: &Files| {
            let text = Tls::load(files.clone(), &HTTP).expect_err("refused").to_string();
            text.replace(&dir.path().display().to_string(), "DIR")
        };
        let swapped = Files { certificate: files.key.clone(), key: files.certificate.clone() };
        assert_eq!(said(&swapped), "DIR/tls.key: it holds no certificate in PEM form");
        let absent = Files { key: dir.path().join("none"), ..files.clone() };
        assert!(said(&absent).starts_with("cannot read DIR/none: "), "{}", said(&absent));
        let both = Files { key: files.certificate.clone(), ..files.clone() };
        assert_eq!(said(&both), "DIR/tls.crt: it holds no private key in PEM form");
        let long = Files { certificate: dir.path().join("long"), ..files };
        std::fs::write(&long.certificate, vec![b'x'; FILE_MAX as usize + 1]).expect("written");
        let want = "DIR/long: it has 1048577 bytes; a certificate or key has at most 1048576";
        assert_eq!(said(&long), want);
    }
}

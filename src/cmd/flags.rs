//! The flags that several server commands have. Each goes over the manifest, which goes over the
//! defaults; clap puts the environment below the flag.

use crate::base::units;
use crate::cmd::common::{self, Failure};
use crate::cmd::reads::From;
use crate::cmd::recorder::Recording as How;
use crate::cmd::schedule;
use crate::control::plan::cost::table::{Table, USUAL};
use crate::log::format::version::Wrote;
use crate::manifest::types::{Manifest, RtmpsServer, Server, TlsFiles, ViewerServer};
use crate::telemetry::logging::{self, LogFormat};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What every server has.
#[derive(Debug, clap::Args)]
pub struct Node {
    /// Manifest with channels and server settings
    #[arg(long, value_name = "FILE", env = "CASTCTL_MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Where metrics and health are served [default: the manifest's, else 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_ADMIN")]
    admin: Option<SocketAddr>,
    /// Form of the log on stderr: auto, text or json
    #[arg(long, value_name = "FORM", env = "CASTCTL_LOG_FORMAT", default_value = "auto")]
    log_format: LogFormat,
}

impl Node {
    /// The manifest with these flags over it; from here on the process logs.
    pub fn begin(&self) -> Result<Manifest, Failure> {
        let mut manifest = common::manifest(self.manifest.as_deref())?;
        let admin = &mut manifest.server.admin.listen;
        *admin = self.admin.unwrap_or(*admin);
        logging::init(self.log_format, None).map_err(Failure::usage)?;
        Ok(manifest)
    }
}

/// What a server that records has.
#[derive(Debug, clap::Args)]
pub struct Recording {
    /// Directory for logs, registry and keys [default: the manifest's, else ./castctl-data]
    #[arg(long, value_name = "DIR", env = "CASTCTL_DATA")]
    data: Option<PathBuf>,
    /// Where encoders publish [default: the manifest's, else 0.0.0.0:1935]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_RTMP")]
    rtmp: Option<SocketAddr>,
    /// Where encoders publish over TLS, with the certificate given [default: the manifest's, else
    /// nowhere]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_RTMPS")]
    rtmps: Option<SocketAddr>,
    /// Where other nodes read logs; never public [default: the manifest's, else 127.0.0.1:8090]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_INTERNAL")]
    internal: Option<SocketAddr>,
    /// Write logs as a later version of the format would: `2-1` is version 2 for readers of 1 and
    /// later. For tests of what older builds make of them
    #[arg(
        long = "pretend-format",
        value_name = "VERSION-OLDEST",
        env = "CASTCTL_PRETEND_FORMAT",
        hide = true
    )]
    #[arg(value_parser = pretended, default_value = "")]
    format: Wrote,
    /// Begin a new extent after so much media. For tests of what is done with extents, which are
    /// a minute long otherwise
    #[arg(long, value_name = "DURATION", hide = true, value_parser = units::duration)]
    extent: Option<Duration>,
}

/// Who logs say has written them.
fn pretended(text: &str) -> Result<Wrote, String> {
    match text {
        "" => Ok(Wrote::TODAY),
        text => Wrote::parse(text).ok_or_else(|| "wanted VERSION-OLDEST, as 2-1".to_owned()),
    }
}

impl Recording {
    /// Records, as the version that was asked for.
    pub fn from(&self) -> From {
        From::Recording(self.how())
    }

    /// How it records.
    pub fn how(&self) -> How {
        let Wrote { version, oldest_reader } = self.format;
        if self.format != Wrote::TODAY {
            tracing::warn!(
                "logs are written as format version {version}, for readers of {oldest_reader} and \
                 later: a pretence for tests"
            );
        }
        How { extent: self.extent, ..How::new(self.format) }
    }

    /// These flags over a manifest.
    ///
    /// # Errors
    /// RTMPS without a certificate.
    pub fn apply(&self, server: &mut Server, certificate: &Certificate) -> Result<(), Failure> {
        if let Some(data) = &self.data {
            server.data.clone_from(data);
        }
        server.rtmp.listen = self.rtmp.unwrap_or(server.rtmp.listen);
        server.internal.listen = self.internal.unwrap_or(server.internal.listen);
        let known = server.rtmps.take();
        let listen = self.rtmps.or(known.as_ref().map(|r| r.listen));
        let Some(listen) = listen else { return Ok(()) };
        let tls = certificate.files().or(known.map(|r| r.tls));
        let none = || {
            Failure::usage("--rtmps: there is no certificate")
                .hint("name one with --tls-certificate and --tls-key, or in the manifest")
        };
        server.rtmps = Some(RtmpsServer { listen, tls: tls.ok_or_else(none)? });
        Ok(())
    }
}

/// What a server has that decides where rungs are made.
#[derive(Debug, Clone, clap::Args)]
pub struct Machine {
    /// What transcoding takes on the transcoders' machines: a table that is built in, or the file
    /// of one (castctl schedule calibrate)
    #[arg(long, value_name = "NAME|FILE", env = "CASTCTL_MACHINE", default_value = USUAL)]
    machine: String,
}

impl Machine {
    /// The table.
    pub fn table(&self) -> Result<Table, Failure> {
        schedule::machine(&self.machine)
    }
}

/// What a server that viewers reach has.
#[derive(Debug, clap::Args)]
pub struct Viewers {
    /// Where viewers watch [default: the manifest's, else 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_VIEWERS")]
    viewers: Option<SocketAddr>,
    /// Bucket that recordings are collected to (castctl collect --to): read for what no node has
    /// any more, like s3://bucket/archive; the environment has the credentials [default: none]
    #[arg(long, value_name = "URL", env = "CASTCTL_ARCHIVE")]
    pub archive: Option<String>,
}

/// What a server that the public reaches has.
#[derive(Debug, clap::Args)]
pub struct Certificate {
    /// Certificate for viewers and RTMPS, PEM, with its chain; a renewed file is taken up within
    /// seconds
    #[arg(long, value_name = "FILE", env = "CASTCTL_TLS_CERTIFICATE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", env = "CASTCTL_TLS_KEY", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl Certificate {
    /// The files, where they are given.
    fn files(&self) -> Option<TlsFiles> {
        let both = self.tls_certificate.clone().zip(self.tls_key.clone());
        both.map(|(certificate, key)| TlsFiles { certificate, key })
    }
}

impl Viewers {
    /// These flags over a manifest.
    pub fn apply(&self, viewers: &mut ViewerServer, certificate: &Certificate) {
        viewers.listen = self.viewers.unwrap_or(viewers.listen);
        viewers.tls = certificate.files().or(viewers.tls.take());
    }
}

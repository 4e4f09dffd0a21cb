//! TLS of the server: certificate and key from files, read again when they change, client certificates
//! if a CA for them is given. Not who a client is: that is its token.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, Weak},
    time::{Duration, SystemTime},
};

use sluice_ingest::files;
use thiserror::Error;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

/// Files of TLS, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate of the server, then those up to its CA.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// CAs whose certificates clients must have; without, they need none.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Why there is no TLS with these files.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{}: {detail}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Others can read the key.
    #[error("everybody on this machine can read the key in {}", .0.display())]
    Exposed(PathBuf),
    /// Certificate and key do not go together, or are not usable.
    #[error("the certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// TLS with the newest files that can be used.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

/// Bytes of a file of certificates.
const FILE_BYTES: u64 = 1 << 20;
/// Between two looks whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Tls {
    /// Reads the files, and again when they change, as long as what is returned lives.
    ///
    /// # Errors
    /// What is wrong with the files now. Later, the files from before stay in use.
    pub(super) fn open(files: TlsFiles) -> Result<Arc<Tls>, TlsError> {
        let mut seen = stamps(&files);
        let config = RwLock::new(Arc::new(load(&files)?));
        let tls = Arc::new(Tls { files, config });
        let weak = Arc::downgrade(&tls);
        let watch = move || {
            loop {
                std::thread::sleep(LOOK_EVERY);
                let Some(tls) = Weak::upgrade(&weak) else { return };
                let now = stamps(&tls.files);
                if now == seen {
                    continue;
                }
                seen = now;
                match load(&tls.files) {
                    Ok(config) => {
                        *tls.config.write().unwrap_or_else(PoisonError::into_inner) =
                            Arc::new(config);
                        tracing::info!("TLS: certificate and key were read again");
                    }
                    Err(error) => tracing::error!("TLS: the files from before stay: {error}"),
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("tls".to_owned()).spawn(watch) {
            tracing::error!(%error, "TLS: other certificates need a restart");
        }
        Ok(tls)
    }

    /// What accepts a connection now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// The same for HTTP/2.
    pub(super) fn http2_acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config).into()
    }
}

/// Checks files of TLS.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn check(files: &TlsFiles) -> Result<(), TlsError> {
    load(files).map(drop)
}

fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate)?;
    let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable(error.to_string());
    if crate::config::readable_by_all(&files.key) {
        return Err(TlsError::Exposed(files.key.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| {
        TlsError::Content { path: files.key.clone(), detail: format!("no private key: {error}") }
    })?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| unusable(&e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| unusable(&e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|e| unusable(&e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |detail: String| TlsError::Content { path: path.to_owned(), detail };
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong("no certificate in PEM".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(format!("no certificate: {error}"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read_regular(path, FILE_BYTES)
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// What tells files from those before: when each was changed.
fn stamps(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    let paths = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
    let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    paths.into_iter().flatten().map(changed).collect()
}

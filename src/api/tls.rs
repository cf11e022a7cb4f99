//! TLS: the certificate and its key, read again when their files change.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate cannot be used. Nothing of the key is in it.
#[derive(Debug)]
pub enum TlsError {
    /// The named file could not be read.
    Read(PathBuf, pem::Error),
    /// The two do not make a server; why.
    Unusable(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Read(path, error) => write!(f, "cannot read `{}`: {error}", path.display()),
            TlsError::Unusable(error) => write!(f, "the certificate and its key cannot be used: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// A certificate in two files, as connections that begin now get it.
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    stamp: Stamp,
    config: Arc<ServerConfig>,
}

type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads both files.
    pub fn read(cert: PathBuf, key: PathBuf) -> Result<Certificate, TlsError> {
        let stamp = stamp([&cert, &key]);
        let config = config(&cert, &key)?;
        Ok(Certificate { cert, key, current: Mutex::new(Current { stamp, config }) })
    }

    /// What a connection that begins now gets.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Reads the files again where they have changed, or in any case; says whether it did. What cannot be used leaves
    /// everything as it was.
    pub fn reload(&self, in_any_case: bool) -> Result<bool, TlsError> {
        let now = stamp([&self.cert, &self.key]);
        {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.stamp == now && !in_any_case {
                return Ok(false);
            }
            // Files that cannot be used now are looked at again when they change again, not each time.
            current.stamp = now;
        }
        let config = config(&self.cert, &self.key)?;
        self.current.lock().unwrap_or_else(PoisonError::into_inner).config = config;
        Ok(true)
    }
}

fn stamp(paths: [&PathBuf; 2]) -> Stamp {
    let of = |path: &PathBuf| -> io::Result<(SystemTime, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len()))
    };
    paths.map(|path| of(path).ok())
}

/// TLS 1.2 and 1.3, with the ciphers that are safe.
fn config(cert: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::Read(cert.clone(), error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Read(key.clone(), error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

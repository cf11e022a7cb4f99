//! The manifest of a checkpoint: the only thing that makes it exist.

use super::error::Error;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::Path;

/// The newest version of manifests that this program reads, and the one that it writes.
const VERSION: u32 = 1;

/// What a checkpoint is made of, and what the caller wanted to be kept with it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The number of the checkpoint. No other ever had it, nor has one that failed.
    pub number: u64,
    /// The checkpoint whose entries hold where this one has none; none for a full snapshot.
    pub parent: Option<u64>,
    /// Chunks of entries.
    pub chunks: u32,
    /// Chunks that say where entries are.
    pub index_chunks: u32,
    /// Entries, tombstones among them.
    pub entries: u64,
    /// Bytes of all chunks as they are stored.
    pub bytes: u64,
    /// A checksum over all chunks.
    pub checksum: u64,
    /// Whatever the caller keeps with the checkpoint: positions, watermarks, lengths of outputs.
    pub meta: serde_json::Value,
}

impl Manifest {
    /// Whether the checkpoint stands for itself.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.parent.is_none()
    }

    /// The manifest as it is stored, in sled and outside: JSON, with a version and a checksum around it.
    pub(super) fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let wrong = |error: serde_json::Error| Error::Io {
            what: "write a manifest for",
            path: path.to_owned(),
            source: error.into(),
        };
        let manifest = serde_json::value::to_raw_value(self).map_err(wrong)?;
        let crc32 = checksum(VERSION, &manifest);
        serde_json::to_vec(&Envelope { version: VERSION, crc32, manifest }).map_err(wrong)
    }

    /// Reads what `to_bytes` wrote.
    pub(super) fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let damaged = |error: serde_json::Error| Error::damaged(path, format!("no manifest: {error}"));
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(damaged)?;
        // The checksum comes first: a version that one flipped bit made is damage, not a newer version.
        if checksum(envelope.version, &envelope.manifest) != envelope.crc32 {
            return Err(Error::damaged(path, "the checksum of the manifest is another one"));
        }
        if envelope.version > VERSION {
            return Err(Error::Newer { path: path.to_owned(), found: envelope.version, known: VERSION });
        }
        serde_json::from_str(envelope.manifest.get()).map_err(damaged)
    }
}

/// What stays the same in every version.
#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    /// Of the version as text and of the manifest.
    crc32: u32,
    manifest: Box<RawValue>,
}

fn checksum(version: u32, manifest: &RawValue) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(version.to_string().as_bytes());
    hasher.update(manifest.get().as_bytes());
    hasher.finalize()
}

//! How far a sink has come, durably: a small file for each in `sinks/` of the data directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::journal::Disk;

/// The layout of the file.
const FORMAT: u32 = 1;

/// How far a sink has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    pub(super) format: u32,
    /// The log that it follows, and what of it.
    pub(super) what: String,
    /// The number of the first line that it has not taken.
    pub(super) next: u64,
    /// How many lines it has delivered.
    pub(super) delivered: u64,
    /// How many lines could not be delivered.
    #[serde(default)]
    pub(super) undelivered: u64,
    /// Of a file: where writing stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Place>,
}

/// Where writing stands in a file and among those put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// The file.
    pub(super) path: PathBuf,
    /// How much of it is written, durably.
    pub(super) bytes: u64,
    /// The number that it gets when it is put aside.
    pub(super) part: u64,
    /// The lowest number of those that were put aside and may still be there.
    pub(super) oldest: u64,
    /// Whether it is being put aside.
    pub(super) rotating: bool,
}

impl Cursor {
    pub(super) fn new(what: &str, next: u64) -> Cursor {
        Cursor { format: FORMAT, what: what.to_owned(), next, delivered: 0, undelivered: 0, file: None }
    }

    /// Reads it; none where the sink is new.
    pub(super) fn read(path: &Path) -> io::Result<Option<Cursor>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(told(path, "cannot read", &error)),
        };
        let cursor: Cursor = serde_json::from_slice(&text).map_err(|error| {
            io::Error::other(format!("`{}` does not say how far the sink has come: {error}", path.display()))
        })?;
        if cursor.format != FORMAT {
            let (path, found) = (path.display(), cursor.format);
            return Err(io::Error::other(format!("`{path}` has format {found}: a newer sequor wrote it")));
        }
        Ok(Some(cursor))
    }

    /// Writes it, so that either this or what was there before is there after a power cut.
    pub(super) fn write(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let new = path.with_extension("json.new");
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        let write = || {
            let file = disk.create(&new)?;
            disk.write(&file, 0, &text)?;
            disk.sync(&file)?;
            disk.rename(&new, path)?;
            disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
        };
        write().map_err(|error| told(path, "cannot write", &error))
    }
}

/// An error that names the file.
pub(super) fn told(path: &Path, doing: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} `{}`: {error}", path.display()))
}

//! What can go wrong with a journal, as one enum whose sentences name the file, what was expected and the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of a journal. Whatever it is, nothing was deleted or cut on its account.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// An operation on a file failed.
    Io {
        /// What was tried: "write", "sync"…
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no space left (or no quota). What was not synced before has been taken back; once there is space, the
    /// next append succeeds.
    DiskFull {
        /// The file or folder that could not grow.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A write or sync failed and could not be taken back either: nothing is accepted until that succeeds, which each
    /// append tries first.
    Poisoned {
        /// The segment whose end is in doubt.
        path: PathBuf,
        /// What failed first.
        why: String,
        /// What failed when it was to be taken back.
        source: io::Error,
    },
    /// A cut failed in the middle: it is finished when the journal is opened again, and until then nothing is accepted.
    Unfinished {
        /// The file that says so.
        path: PathBuf,
    },
    /// Bytes that were durable are not what they were.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A segment file is not there.
    Missing {
        /// The file.
        path: PathBuf,
        /// Which file tells that it should be there.
        named_by: PathBuf,
    },
    /// The format is newer than this program.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// The journal ends before a number that is known to have been durable ([`super::Options::known_next`]).
    Short {
        /// The folder of the journal.
        dir: PathBuf,
        /// The number after the last record that is there.
        next: u64,
        /// The number that it is known to have reached.
        known_next: u64,
    },
    /// Records were asked for that retention has deleted.
    Pruned {
        /// The number asked for.
        from: u64,
        /// The first one that is there.
        first: u64,
    },
    /// Records of one append are larger than a frame can be.
    TooLarge {
        /// Their size in bytes.
        bytes: u64,
        /// The largest size.
        bytes_max: u64,
    },
    /// A record without a number of its own (its `count` is 0) cannot be found again.
    NoNumbers,
    /// A record was handed over for a journal that is not there.
    NoSuchJournal {
        /// Its place among the journals.
        at: usize,
    },
    /// A copy was to go into a folder that already holds something.
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
}

impl JournalError {
    /// Whether it is that there is no space left: worth trying again.
    pub fn is_disk_full(&self) -> bool {
        match self {
            JournalError::DiskFull { .. } => true,
            JournalError::Poisoned { source, .. } => is_full(source),
            _ => false,
        }
    }

    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> JournalError {
        let path = path.to_owned();
        if is_full(&source) {
            JournalError::DiskFull { path, source }
        } else {
            JournalError::Io { doing, path, source }
        }
    }

    pub(super) fn damaged(
        path: &Path,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> JournalError {
        JournalError::Damaged {
            path: path.to_owned(),
            offset,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RESTORE: &str = "nothing was changed; restore the folder from a backup, or move the folder \
                               away to begin anew without what it holds";
        match self {
            JournalError::Io { doing, path, source } => {
                write!(f, "cannot {doing} {}: {source}", path.display())
            }
            JournalError::DiskFull { path, .. } => {
                write!(f, "no space left for {}: free some; it goes on by itself", path.display())
            }
            JournalError::Poisoned { path, why, source } => write!(
                f,
                "{} accepts nothing: {why}, and taking it back failed as well ({source}); it goes on once \
                 that succeeds, or after a restart",
                path.display()
            ),
            JournalError::Unfinished { path } => write!(
                f,
                "nothing is accepted after a cut that failed in the middle ({}); the journal has to be opened again",
                path.display()
            ),
            JournalError::Damaged { path, offset, expected, found } => write!(
                f,
                "{} is damaged at byte {offset}: expected {expected}, found {found}; {RESTORE}",
                path.display()
            ),
            JournalError::Missing { path, named_by } => write!(
                f,
                "{} is missing, {} says that it was there; {RESTORE}",
                path.display(),
                named_by.display()
            ),
            JournalError::Newer { path, found, known } => write!(
                f,
                "{} has format version {found}, this program reads up to {known}; use a newer program",
                path.display()
            ),
            JournalError::Short { dir, next, known_next } => write!(
                f,
                "{} ends before number {next}, but it had reached {known_next}; {RESTORE}",
                dir.display()
            ),
            JournalError::Pruned { from, first } => {
                write!(f, "number {from} is no longer there, retention has left what begins at {first}")
            }
            JournalError::TooLarge { bytes, bytes_max } => {
                write!(
                    f,
                    "records of {bytes} bytes are too large to be appended at once, {bytes_max} is the limit"
                )
            }
            JournalError::NoNumbers => write!(f, "a record needs at least one number, its count is 0"),
            JournalError::NoSuchJournal { at } => write!(f, "there is no journal at place {at}"),
            JournalError::NotEmpty { dir } => {
                write!(f, "{} is not empty; name a new folder for the copy", dir.display())
            }
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JournalError::Io { source, .. }
            | JournalError::DiskFull { source, .. }
            | JournalError::Poisoned { source, .. } => Some(source),
            _ => None,
        }
    }
}

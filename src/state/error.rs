//! What can go wrong with the store of checkpoints, and what to do then.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the store. Its text says which file is meant and what can be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused. The checkpoint that was being written does not exist; those before it do.
    Io {
        /// What was being done, as in "cannot WHAT".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Something that was written is not there any more, or is not what was written.
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Written by a newer version of Sequor.
    Newer {
        /// The file or directory.
        path: PathBuf,
        /// The version of the format that was found.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// Another process has the store open.
    Locked {
        /// The directory that is locked.
        path: PathBuf,
    },
    /// Checkpoints were there, and none is whole any more.
    NothingWhole {
        /// The directory of the store.
        path: PathBuf,
        /// What was found, a line for each directory and file.
        found: Vec<String>,
    },
    /// There is no such checkpoint, or none that could be loaded.
    Unknown {
        /// The number that was asked for.
        number: u64,
    },
    /// A checkpoint of changes only was begun where there is nothing that it could follow: begin a full one.
    NoBase,
    /// A checkpoint was begun while another is being written.
    Busy,
}

impl Error {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }

    /// Whether an older checkpoint may still be whole: the error is about what lies on the disk, not about this process.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, source } => write!(f, "cannot {what} {}: {source}", path.display()),
            Self::Damaged { path, why } => write!(f, "{} is damaged: {why}", path.display()),
            Self::Newer { path, found, known } => write!(
                f,
                "{} has version {found} of the format, this program reads up to {known}: use the version of Sequor that \
                 wrote it, or a newer one",
                path.display()
            ),
            Self::Locked { path } => write!(f, "another process has {} open", path.display()),
            Self::NothingWhole { path, found } => {
                writeln!(f, "no checkpoint in {} is whole; nothing was removed:", path.display())?;
                for line in found {
                    writeln!(f, "  {line}")?;
                }
                write!(
                    f,
                    "Put the directory back from a backup, or move it away: everything is then computed again from the \
                     beginning of the logs"
                )
            }
            Self::Unknown { number } => write!(f, "there is no checkpoint {number}"),
            Self::NoBase => write!(f, "there is no checkpoint that changes could follow: a full one is due"),
            Self::Busy => write!(f, "a checkpoint is being written"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

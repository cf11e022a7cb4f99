//! Why a run ended before its inputs did.

use std::{fmt, io};

use crate::ingest::BufferFull;

/// Why a run ended early.
#[derive(Debug)]
pub enum Failure {
    /// The named input could not be read.
    Read(String, io::Error),
    /// An output could not be written.
    Write(&'static str, io::Error),
    /// Too many events wait.
    Full(BufferFull),
    /// A thread panicked: a defect.
    Panicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Read(name, error) => {
                write!(f, "cannot read {name}: {error}")?;
                f.write_str(match error.kind() {
                    io::ErrorKind::IsADirectory => " (give a file)",
                    io::ErrorKind::UnexpectedEof => {
                        " (it seems to have been cut off: get it anew, or unpack what there is)"
                    }
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
                        " (is it a whole file of the kind that its name says?)"
                    }
                    _ => "",
                })
            }
            Failure::Write(what, error) => {
                write!(f, "cannot write the {what}: {error}")?;
                f.write_str(match error.kind() {
                    io::ErrorKind::StorageFull => " (make room, and run it again)",
                    _ => "",
                })
            }
            Failure::Full(full) => full.fmt(f),
            Failure::Panicked => write!(
                f,
                "internal error: the message above says where; the output is not complete (this is a defect of sequor: please report it)"
            ),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Read(_, error) | Failure::Write(_, error) => Some(error),
            Failure::Full(full) => Some(full),
            Failure::Panicked => None,
        }
    }
}

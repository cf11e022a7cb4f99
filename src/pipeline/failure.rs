//! Why a run ended before its inputs did.

use std::sync::Arc;
use std::{fmt, io};

use crate::engine::Damaged;
use crate::ingest::BufferFull;
use crate::journal::JournalError;
use crate::state;

/// Why a run ended early.
#[derive(Debug)]
pub enum Failure {
    /// The named input could not be read.
    Read(String, io::Error),
    /// An output could not be written.
    Write(&'static str, io::Error),
    /// Too many events wait.
    Full(BufferFull),
    /// The named log could not be read or written.
    Journal(&'static str, JournalError),
    /// A decision could not be made durable.
    Decision(Arc<JournalError>),
    /// The checkpoints could not be used.
    State(state::Error),
    /// Of the named stream, the events before this offset are not kept any more, and nothing else says what came of them.
    NoCheckpoint(String, u64),
    /// A key of the numbered checkpoint could not be taken.
    Key(u64, Damaged),
    /// An entry of the control log, by its number, that says nothing known; why.
    ControlEntry(u64, String),
    /// An export does not fit, by its name; why.
    Export(String, String),
    /// Keys that lay outside of memory could not be read again; why.
    Lost(String),
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
            Failure::Decision(error) => write!(f, "the control log: {error}"),
            Failure::Journal(what, error) => write!(f, "{what}: {error}"),
            Failure::State(error) => error.fmt(f),
            Failure::NoCheckpoint(stream, first) => write!(
                f,
                "the events of `{stream}` before offset {first} are not kept any more, and no whole checkpoint says what came of them (the lines above say what is wrong with each): restore a backup, or move the data directory away to begin anew"
            ),
            Failure::Key(number, error) => write!(f, "a key of checkpoint {number} cannot be taken: {error}"),
            Failure::ControlEntry(number, why) => write!(
                f,
                "entry {number} of the control log says nothing that this version knows: {why} (it was written by a newer one, or changed by hand)"
            ),
            Failure::Export(name, why) => write!(f, "`{name}`: {why}"),
            Failure::Lost(why) => write!(
                f,
                "keys that had no room in memory cannot be read again: {why} (nothing is lost: start again, and look at the disk or leave out `data.state_memory` if it comes back)"
            ),
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
            Failure::Journal(_, error) => Some(error),
            Failure::Decision(error) => Some(&**error),
            Failure::State(error) => Some(error),
            Failure::Key(_, error) => Some(error),
            Failure::NoCheckpoint(..)
            | Failure::ControlEntry(..)
            | Failure::Export(..)
            | Failure::Lost(_)
            | Failure::Panicked => None,
        }
    }
}

//! Where events come from: a source gives the lines of one partition, in stretches.

use std::io;

use crate::event::decode::Format;

/// Some lines of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// Whole lines or records, each with its line break (the last one of the input may lack it); not empty.
    Lines(Vec<u8>),
    /// The beginning of one line that is longer than the limit.
    TooLong(Vec<u8>),
}

/// The lines of one partition, from its beginning.
pub trait Source: Send {
    /// The next stretch; none at the end.
    fn next(&mut self) -> io::Result<Option<Stretch>>;

    /// How the events in its lines are written.
    fn format(&self) -> Format {
        Format::JsonLines
    }

    /// How many bytes were read so far, as they are stored (compressed ones count compressed).
    fn bytes_read(&self) -> u64;
}

//! Where an event stands in its source. Positions break ties between events of one time, so they are part of what
//! output means: they compare by stream, then partition, then offset.

/// Stream (by rank of its name), partition and offset. For files a partition is an input in the order given, and
/// the offset is the line's number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Rank of the stream's name among the streams of the run, in code point order.
    pub stream: u32,
    /// The partition's number, unique in the run.
    pub partition: u32,
    /// Offset in the partition, from 0.
    pub offset: u64,
}

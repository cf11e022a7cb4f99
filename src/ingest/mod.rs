//! From partitions, each in its own order of arrival, to one order of event time. Pure: no I/O, no clock.
//!
//! A partition's watermark is its highest event time less the out-of-orderness bound, less 1 ms; an event at or below
//! it is late. The others wait until the lowest watermark of all partitions reaches them and leave in the order (time,
//! position). Late events and dead letters leave in the order (watermark of the partition at that line, partition, offset).
//! So what leaves, and in which order, is a function of the partitions alone: how reading interleaves and
//! where stretches are cut decides only when.
//!
//! Whatever else decides about lateness comes from outside as a *mark*: from an offset of a partition on, events at or
//! below a floor are late. Partitions that are idle do not count for the lowest watermark; a mark keeps what they bring
//! later behind what has left. After a restart, [`Resume`] says what is to be pushed again: all that had not left.
//!
//! Events that come in order wait and leave as ranges of rows; only those that come after a later one are looked at one
//! by one.

mod blocks;
mod lateness;
mod merge;
mod partition;
mod rejected;
mod seen;
mod sources;
mod stragglers;

pub use merge::{BufferFull, Counters, Ingest, PartitionSettings};
pub use partition::Resume;
pub use rejected::{Rejected, RejectedKind};
pub use seen::Remember;

//! Sources to sinks: the only place with threads and channels.
//!
//! One thread reads and others decode ([`reader`]), one merges and deals out batches ([`feed`]), each shard runs an engine
//! over its keys on a thread of its own ([`shard`]), and one puts the shards' outputs into the one order and writes
//! ([`collect`]). All channels are bounded, so a slow writer slows the reader. With one thread everything runs in the
//! caller's. Whatever fails on any thread ends the run, with what was found before it written.

pub mod backup;
mod collect;
pub mod decision;
pub mod export;
mod failure;
mod feed;
pub mod live;
mod merger;
mod progress;
mod reader;
pub mod registry;
mod replay;
mod shard;
pub mod twin;

pub use failure::Failure;
pub use progress::Progress;
pub use replay::{Input, Outputs, Replay, Summary};

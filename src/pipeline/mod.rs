//! Sources to sinks: the only place with threads and channels.
//!
//! One thread reads, decodes and merges; each shard runs an engine over its keys on a thread of its own; one thread
//! puts the shards' outputs into the one order and writes. All channels are bounded, so a slow writer slows the
//! reader. With one thread everything runs in the caller's.

mod output;
mod progress;
mod replay;

pub use progress::Progress;
pub use replay::{Failure, Input, Outputs, Replay, Summary};

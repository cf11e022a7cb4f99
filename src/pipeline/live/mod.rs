//! The live service: events become durable, then matches; patterns come and go at cuts of event time; what is found goes
//! to a log that everything outside reads from.
//!
//! One thread writes event logs ([`crate::journal::commit`]), one owns decisions and the merged order (`owner`), each shard
//! runs an engine, one puts their output into order and writes the log of matches, another writes what was rejected
//! (`output`). All channels are bounded: where one thread is slow, posting is refused for a while.

mod backup;
mod budgets;
mod checkpoint;
mod cold;
mod due;
mod handle;
mod idempotency;
mod intake;
mod look;
mod mark;
mod options;
mod output;
mod output_log;
mod owner;
mod recovery;
mod request;
mod sinks;
mod stalls;
mod start;
mod status;

pub(crate) use mark::Marked;
pub(crate) use recovery::{Declared, entries, idle};

pub use backup::Backup;
pub use handle::{Appended, Handle, NotAppended};
pub use intake::Intake;
pub(super) use intake::Preparation;
pub use look::{AskedKey, HeldPage, Unanswered, VersionCost};
pub use options::{Options, Silence, SinkOptions, StreamOptions};
pub use request::{Action, ChangeRequest, Decided, Expected, NewProperties, Outcome, Refusal, Wish};
pub use sinks::SinkStatus;
pub use start::{Live, StartError};
pub use status::{Dropped, Status, StreamStatus};

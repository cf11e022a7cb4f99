//! Sequor: complex event processing. Patterns over event streams, and the same answer every time.
//!
//! The modules, from the ground up; each uses only those before it (`tests/it/tidy.rs` keeps it so):
//!
//! - [`event`]: what an event is: values, times, positions, and how one is read from JSON.
//! - [`pattern`]: pattern text to tree to plan to automaton; diagnostics. Pure.
//! - [`ingest`]: lateness, reordering and merging of partitions. Pure.
//! - [`engine`]: ordered events and automata to matches. Pure: no I/O, no clock, no tasks.
//! - [`state`]: checkpoints on disk. Knows bytes only.
//! - [`connect`]: where events come from and where matches go.
//! - [`pipeline`]: the only place with threads and channels: source, ingest, shards, sink.
//! - [`cli`]: one file per command.

pub mod cli;
pub mod connect;
pub mod engine;
pub mod event;
pub mod ingest;
pub mod pattern;
pub mod pipeline;
pub mod state;

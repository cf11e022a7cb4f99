//! Sequor: complex event processing. Patterns over event streams, and the same answer every time.
//!
//! The modules, from the ground up; each uses only those before it (`tests/it/tidy.rs` keeps it so):
//!
//! - [`diagnostic`]: what is wrong with a text and where, drawn for people.
//! - [`event`]: what an event is: values, times, positions, and how one is read from JSON.
//! - [`journal`]: append-only logs of checksummed segment files. Knows bytes only.
//! - [`pattern`]: pattern text to tree to plan to automaton; diagnostics. Pure.
//! - [`ingest`]: lateness, reordering and merging of partitions. Pure.
//! - [`engine`]: ordered events and automata to matches. Pure: no I/O, no clock, no tasks.
//! - [`config`]: the settings of the service: file, environment and flags to one resolved whole.
//! - [`state`]: checkpoints on disk. Knows bytes only.
//! - [`connect`]: where events come from and where matches go.
//! - [`pipeline`]: the place with threads and channels (besides the journals' group commit): source, ingest, shards, sink.
//! - [`api`]: HTTP over the live pipeline.
//! - [`cli`]: one file per command.

pub mod api;
pub mod cli;
pub mod config;
pub mod connect;
pub mod diagnostic;
pub mod engine;
pub mod event;
pub mod ingest;
pub mod journal;
pub mod pattern;
pub mod pipeline;
pub mod state;

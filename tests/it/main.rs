//! The integration tests: one binary, one module per subject.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it skips"
)]

mod api_data;
mod cli;
mod config;
mod conformance;
mod differential;
mod docs;
mod engine_memory;
mod examples;
mod explain;
mod failures;
mod generate;
mod growth;
mod harness;
mod journal;
mod language;
mod life;
mod many;
mod naive;
mod order;
#[path = "../powerloss/mod.rs"]
mod powerloss;
mod rare;
mod saved;
mod scenarios;
mod serving;
mod sets;
mod state;
mod stepwise;
mod tidy;

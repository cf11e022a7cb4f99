//! The integration tests: one binary, one module per subject.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it skips"
)]

mod api_data;
mod api_patterns;
mod audit;
mod backup;
mod budgets;
mod cli;
mod clock;
mod cold;
mod config;
mod conformance;
mod demo;
mod differential;
mod docs;
mod duplicates;
mod durable;
mod engine_memory;
mod examples;
mod explain;
mod failures;
mod generate;
mod growth;
mod harness;
mod inside;
mod journal;
mod kills;
mod language;
mod life;
mod limits;
mod looking;
mod many;
mod naive;
mod openapi;
mod order;
#[path = "../powerloss/mod.rs"]
mod powerloss;
mod rare;
mod saved;
mod scenarios;
mod security;
mod serving;
mod sets;
mod sinks;
mod state;
mod stepwise;
mod suppress;
mod telemetry;
mod tidy;
mod twin;
mod webhooks;

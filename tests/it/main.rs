//! The integration tests: one binary, one module per subject.

mod cli;
mod conformance;
mod differential;
mod engine_memory;
mod examples;
mod failures;
mod generate;
mod harness;
mod language;
mod naive;
mod order;
mod scenarios;
mod tidy;

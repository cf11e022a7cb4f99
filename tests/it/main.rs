//! The integration tests: one binary, one module per subject.

mod conformance;
mod engine_memory;
mod examples;
mod language;
mod naive;
mod random;
mod scenarios;
mod tidy;

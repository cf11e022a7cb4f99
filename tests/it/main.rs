//! The integration tests: one binary, one module per subject.

mod examples;
mod language;
mod order;
mod scenarios;
mod tidy;

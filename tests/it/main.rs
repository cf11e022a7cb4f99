//! The integration tests: one binary, one module per subject.

mod examples;
mod language;
mod scenarios;
mod tidy;

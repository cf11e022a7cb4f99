//! The integration tests: one binary, one module per subject.

mod conformance;
mod docs;
mod examples;
mod language;
mod naive;
mod order;
mod scenarios;
mod tidy;

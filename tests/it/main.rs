//! The integration tests: one binary, one module per subject.

mod conformance;
mod language;
mod naive;

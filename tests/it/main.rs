//! The integration tests: one binary, one module per subject.

mod explain;
mod growth;
mod language;

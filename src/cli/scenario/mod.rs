//! Scenario tests of patterns: a few events with relative times, the matches they have to give, and a runner that tries
//! them in many arrival orders, numbers of shards and batch sizes. `docs/scenarios.md` describes the format.
//!
//! - [`file`]: a scenario file, as written and as resolved.
//! - [`arrival`]: a scenario's events as input lines, in the order as written and in shuffled ones.
//! - [`run`]: the matrix of variants, run through the pipeline.
//! - [`expect`]: what was found against what was expected.
//! - [`report`]: outcomes for people, for programs, and for test dashboards.

pub mod arrival;
pub mod expect;
pub mod file;
pub mod report;
pub mod run;

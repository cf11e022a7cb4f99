//! The language: what is accepted, what is refused and with which words, and how text and tree go together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod any_text;
mod commands;
mod conformance;
mod grammar;
mod sizes;
mod snapshots;
mod summary;

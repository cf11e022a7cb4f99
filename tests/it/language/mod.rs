//! The language: what is accepted, what is refused and with which words, and how text and tree go together.

mod any_text;
mod conformance;
mod grammar;
mod sizes;
mod snapshots;
mod summary;

//! The language: what is accepted, what is refused and with which words, and how text and tree go together.

mod conformance;
mod sizes;
mod snapshots;
mod summary;

//! Where events come from and where matches go: two small traits and their kinds.

pub mod export;
pub mod file;
pub mod source;

pub use source::{Source, Stretch};

//! What is wrong with a pattern, and where: one type for the command line, the REST API and the console.

/// A range of bytes in a pattern's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

//! What a pattern compiles to, for people: its automaton as a graph of stages, what of it is tested how often, what is
//! indexed, and how much state it may hold.
//!
//! [`Graph`] is the model, made by [`Graph::new`]; each rendering has a file of its own and knows nothing but the
//! model. Names and texts of a pattern may be hostile: each rendering escapes all that it writes.

mod advice;
mod build;
mod dot;
mod graph;
mod mermaid;
mod placing;
mod svg;
mod text;

pub use graph::{
    Condition, Edge, EdgeKind, Graph, Group, Growth, Index, Link, Node, Remedy, Stage, Unless, Window,
};

/// The renderings of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    Text,
    /// Graphviz.
    Dot,
    /// A Mermaid flowchart.
    Mermaid,
    /// A picture that needs nothing else.
    Svg,
    /// The model itself.
    Json,
}

impl Format {
    /// All of them with their names.
    pub const ALL: [(&'static str, Format); 5] = [
        ("text", Format::Text),
        ("dot", Format::Dot),
        ("mermaid", Format::Mermaid),
        ("svg", Format::Svg),
        ("json", Format::Json),
    ];

    /// The format of a name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.iter().find(|(n, _)| *n == name).map(|(_, format)| *format)
    }
}

/// A graph in one of its renderings, with a line break at the end.
pub fn render(graph: &Graph, format: Format) -> String {
    match format {
        Format::Text => text::render(graph),
        Format::Dot => dot::render(graph),
        Format::Mermaid => mermaid::render(graph),
        Format::Svg => svg::render(graph),
        Format::Json => serde_json::to_string_pretty(graph).unwrap_or_default() + "\n",
    }
}

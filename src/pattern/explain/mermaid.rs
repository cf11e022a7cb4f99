//! The graph as a Mermaid flowchart.

use std::fmt::Write;

use super::dot::stage_lines;
use super::graph::{Graph, Node};
use super::text::visible;

pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = write(graph, &mut out);
    out
}

fn write(graph: &Graph, out: &mut String) -> std::fmt::Result {
    writeln!(out, "flowchart LR")?;
    let mut open: Vec<usize> = Vec::new();
    let mut groups = graph.groups.iter().enumerate().peekable();
    for (i, node) in graph.nodes.iter().enumerate() {
        while let Some((number, group)) = groups.next_if(|(_, g)| g.first == i) {
            writeln!(out, "  subgraph g{number}[{}]", quoted(&[group.title()]))?;
            open.push(group.last);
        }
        match node {
            Node::Start => writeln!(out, "  n{i}((\"start\"))")?,
            Node::Match => writeln!(out, "  n{i}(((\"match\")))")?,
            Node::Stage(stage) => writeln!(out, "  n{i}[{}]", quoted(&stage_lines(stage)))?,
        }
        while open.last() == Some(&i) {
            open.pop();
            writeln!(out, "  end")?;
        }
    }
    for edge in &graph.edges {
        let labels = edge.labels();
        if labels.is_empty() {
            writeln!(out, "  n{} --> n{}", edge.from, edge.to)?;
        } else {
            writeln!(out, "  n{} -->|{}| n{}", edge.from, quoted(&labels), edge.to)?;
        }
    }
    Ok(())
}

/// Lines as one quoted string. All that could mean something to Mermaid or HTML becomes an entity by its number.
fn quoted(lines: &[String]) -> String {
    let mut text = String::from("\"");
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            text.push_str("<br/>");
        }
        for c in visible(line).chars() {
            if c.is_alphanumeric() || matches!(c, ' ' | '_' | '.' | ',' | ':' | '=' | '+' | '-' | '…') {
                text.push(c);
            } else {
                text.push_str(&format!("#{};", u32::from(c)));
            }
        }
    }
    text.push('"');
    text
}

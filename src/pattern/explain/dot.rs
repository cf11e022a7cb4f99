//! The graph for Graphviz.

use std::fmt::Write;

use super::graph::{Condition, EdgeKind, Graph, Node, Stage};
use super::text::visible;

pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = write(graph, &mut out);
    out
}

fn write(graph: &Graph, out: &mut String) -> std::fmt::Result {
    writeln!(out, "digraph {} {{", quoted(&[&graph.pattern]))?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [shape=box, style=rounded, fontname=\"monospace\", fontsize=11];")?;
    writeln!(out, "  edge [fontname=\"monospace\", fontsize=10];")?;
    for (i, node) in graph.nodes.iter().enumerate() {
        match node {
            Node::Start => writeln!(
                out,
                "  n{i} [shape=circle, style=solid, width=0.2, label=\"\", tooltip=\"start\"];"
            )?,
            Node::Match => writeln!(out, "  n{i} [shape=doublecircle, style=solid, label=\"match\"];")?,
            Node::Stage(stage) => {
                let lines = stage_lines(stage);
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                writeln!(out, "  n{i} [label={}];", quoted(&lines))?;
            }
        }
    }
    // Groups are in the order of the text, outer ones first: an inner one is closed before the outer one.
    let mut open: Vec<usize> = Vec::new();
    for (i, group) in graph.groups.iter().enumerate() {
        close(&mut open, Some(group.first), out)?;
        writeln!(
            out,
            "  subgraph cluster_{i} {{ style=dashed; fontname=\"monospace\"; label={};",
            quoted(&[&group.title()])
        )?;
        let nodes: Vec<String> = (group.first..=group.last).map(|n| format!("n{n}")).collect();
        writeln!(out, "    {};", nodes.join("; "))?;
        open.push(group.last);
    }
    close(&mut open, None, out)?;
    for edge in &graph.edges {
        let labels = edge.labels();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        // What leads back shall not turn the drawing round.
        let free = if matches!(edge.kind, EdgeKind::Round) { ", constraint=false" } else { "" };
        writeln!(out, "  n{} -> n{} [label={}{free}];", edge.from, edge.to, quoted(&labels))?;
    }
    writeln!(out, "}}")
}

/// Closes the groups that end before a node.
fn close(open: &mut Vec<usize>, before: Option<usize>, out: &mut String) -> std::fmt::Result {
    while open.last().is_some_and(|last| before.is_none_or(|node| *last < node)) {
        open.pop();
        writeln!(out, "  }}")?;
    }
    Ok(())
}

/// What is written in a stage's node, a line each.
pub(super) fn stage_lines(stage: &Stage) -> Vec<String> {
    let mut lines = vec![stage.title(), stage.types_text()];
    let mut add = |word: &str, condition: &Option<Condition>| {
        let Some(condition) = condition else { return };
        lines.extend(condition.per_event.iter().map(|part| format!("{word} {part}")));
        lines.extend(
            condition.per_partial_match.iter().map(|part| format!("{word} {part} [per partial match]")),
        );
    };
    add("where", &stage.condition);
    add("until", &stage.until);
    lines
}

/// Lines as one quoted string. Graphviz reads escapes and entities in labels.
fn quoted(lines: &[&str]) -> String {
    let escaped: Vec<String> = lines
        .iter()
        .map(|line| visible(line).replace('&', "&amp;").replace('\\', "\\\\").replace('"', "\\\""))
        .collect();
    format!("\"{}\"", escaped.join("\\n"))
}

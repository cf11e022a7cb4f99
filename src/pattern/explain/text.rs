//! The graph for a terminal.

use std::fmt::Write;

use super::graph::{Edge, EdgeKind, Graph, Link, Node, Stage};
use crate::pattern::nfa::Storage;

pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = write(graph, &mut out);
    out
}

/// A text that does nothing to a terminal: control characters are shown as U+FFFD.
pub(super) fn visible(text: &str) -> String {
    let is_bidi =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_odd = |c: char| c.is_control() || is_bidi(c) || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if is_odd(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn write(graph: &Graph, out: &mut String) -> std::fmt::Result {
    writeln!(out, "pattern {}", visible(&graph.pattern))?;
    let fact = |out: &mut String, name: &str, text: &str| writeln!(out, "  {name:<11}{}", visible(text));
    if let Some(streams) = &graph.streams {
        fact(out, "from", &streams.join(", "))?;
    }
    fact(
        out,
        "key",
        &if graph.key.is_empty() {
            "none: all events are of one key".to_owned()
        } else {
            graph.key.join(", ")
        },
    )?;
    let window = graph.within.as_ref().map(|w| {
        format!("{} {}", w.length, if w.between_events { "between events" } else { "from the first event" })
    });
    fact(out, "within", window.as_deref().unwrap_or("without end"))?;
    fact(out, "skip", &graph.skip)?;
    fact(out, "timeouts", if graph.emit_timeouts { "emitted" } else { "not emitted" })?;
    fact(out, "positions", &graph.positions.to_string())?;

    writeln!(out, "\nstages")?;
    for node in &graph.nodes {
        if let Node::Stage(stage) = node {
            write_stage(stage, "", out)?;
        }
    }
    for stage in &graph.negations {
        write_stage(stage, "not ", out)?;
    }
    if !graph.groups.is_empty() {
        writeln!(out, "\ngroups")?;
        for group in &graph.groups {
            let (first, last) = (graph.nodes[group.first].name(), graph.nodes[group.last].name());
            writeln!(out, "  {} from {} to {}", group.title(), visible(first), visible(last))?;
        }
    }
    writeln!(out, "\nways")?;
    let width = graph.nodes.iter().map(|n| columns(n.name())).max().unwrap_or(0);
    for edge in &graph.edges {
        write_edge(graph, edge, width, out)?;
    }
    write_index(graph, out)?;
    write_growth(graph, out)
}

fn write_stage(stage: &Stage, before: &str, out: &mut String) -> std::fmt::Result {
    writeln!(out, "  {before}{}: {}", visible(&stage.title()), visible(&stage.types_text()))?;
    for (word, condition) in [("where", &stage.condition), ("until", &stage.until)] {
        let Some(condition) = condition else { continue };
        for (how, parts) in
            [("once per event", &condition.per_event), ("per partial match", &condition.per_partial_match)]
        {
            for part in parts {
                writeln!(out, "    {word}  {how:<19}{}", visible(part))?;
            }
        }
    }
    Ok(())
}

fn write_edge(graph: &Graph, edge: &Edge, width: usize, out: &mut String) -> std::fmt::Result {
    let (from, to) = (graph.nodes[edge.from].name(), graph.nodes[edge.to].name());
    let fill = " ".repeat(width - columns(from));
    let link = if edge.link == Link::Begins { String::new() } else { format!(" {} ", edge.link) };
    let line = "─".repeat(20_usize.saturating_sub(link.len()));
    write!(out, "  {}{fill} ─{link}{line}▶ {}", visible(from), visible(to))?;
    let mut notes: Vec<String> = match edge.kind {
        EdgeKind::Forward => Vec::new(),
        EdgeKind::Over => vec![format!("without {}", between(graph, edge))],
        EdgeKind::Again => vec!["again".to_owned()],
        EdgeKind::Round => vec!["next round".to_owned()],
    };
    let labels = edge.labels();
    let link_lines = usize::from(!matches!(edge.link, Link::Begins | Link::Completes));
    notes.extend(labels.into_iter().skip(link_lines));
    if !notes.is_empty() {
        write!(out, "  ({})", visible(&notes.join("; ")))?;
    }
    writeln!(out)
}

/// The names of the nodes that an edge leaves out.
fn between(graph: &Graph, edge: &Edge) -> String {
    graph.nodes[edge.from + 1..edge.to].iter().map(Node::name).collect::<Vec<_>>().join(", ")
}

fn write_index(graph: &Graph, out: &mut String) -> std::fmt::Result {
    let index = &graph.index;
    writeln!(out, "\nwhat is indexed")?;
    let fact = |out: &mut String, name: &str, text: &str| {
        writeln!(out, "  {name:<11}{}", wrapped(&visible(text), "             "))
    };
    let types = match (&index.types, &index.strict) {
        (None, _) => "any: some stage takes events of every type".to_owned(),
        (Some(types), None) => format!("{}; events of other types are never looked at", types.join(", ")),
        (Some(types), Some(words)) => {
            format!("{}; but `{words}` makes it look at every event of its key", types.join(", "))
        }
    };
    fact(out, "types", &types)?;
    let key = match graph.key.as_slice() {
        [] => "none: an event meets all partial matches".to_owned(),
        key => {
            format!("by hash of {}; an event meets the partial matches of its own key only", key.join(", "))
        }
    };
    fact(out, "key", &key)?;
    let tests = |n: usize| if n == 1 { "1 test".to_owned() } else { format!("{n} tests") };
    let (shared, own) = (tests(index.shared_tests), tests(index.tests_per_partial_match));
    let conditions =
        format!("{shared} at most once an event, for all patterns together; {own} for each partial match");
    fact(out, "conditions", &conditions)?;
    let deadlines = match &graph.within {
        Some(w) if w.between_events => "one queue in order of time, an entry for each accepted event",
        Some(_) => "one queue in order of time, an entry for each first event",
        None => "none",
    };
    fact(out, "deadlines", deadlines)?;
    let memory =
        "none for a key without partial matches; an event is kept once, however many of them have it";
    fact(out, "memory", memory)?;
    let store = match graph.storage {
        Storage::Runs => "runs: each partial match by itself",
        Storage::Sets => {
            "sets: all partial matches of a key in one state together; an event adds to a set once, however many they are"
        }
        Storage::StartGroups => {
            "start groups: all first events of a key whose partial matches are in the same states together; an event moves a group once, however many they are"
        }
    };
    fact(out, "store", store)
}

fn write_growth(graph: &Graph, out: &mut String) -> std::fmt::Result {
    let growth = &graph.growth;
    writeln!(out, "\ngrowth: {}", growth.class_text())?;
    for sentence in std::iter::once(&growth.explanation).chain(&growth.lifetime) {
        writeln!(out, "  {}", wrapped(&visible(sentence), "  "))?;
    }
    if !growth.remedies.is_empty() {
        writeln!(out, "  ways out:")?;
    }
    for remedy in &growth.remedies {
        let text = visible(&format!("{}: {}", remedy.change, remedy.effect));
        writeln!(out, "  - {}", wrapped(&text, "    "))?;
    }
    Ok(())
}

/// A text cut into lines of about a hundred columns between words, all but the first indented.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut out, mut at) = (String::new(), indent.len());
    for word in text.split(' ') {
        let wide = columns(word);
        if !out.is_empty() {
            let fits = at + 1 + wide <= 100;
            out.push_str(if fits { " " } else { "\n" });
            if fits {
                at += 1;
            } else {
                out.push_str(indent);
                at = indent.len();
            }
        }
        out.push_str(word);
        at += wide;
    }
    out
}

/// How many columns a text takes, about: East Asian characters and pictographs take two.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f000}'..='\u{3fffd}') { 2 } else { 1 }).sum()
}

//! The graph as a picture: SVG without scripts, fonts or anything else from outside, for light and dark.

use std::fmt::Write;

use super::graph::{Graph, Node};
use super::placing::{self, Box, FONT, LINE, MARGIN, Picture, Style, Way};
use super::text::visible;

/// Colours by the names of what they are for; the picture has its own background, so that it can be read anywhere.
const STYLE: &str = "
.sequor-graph{--ground:#fff;--ink:#1f2430;--soft:#5b6472;--line:#7a8594;--box:#f3f5f8;--mark:#a04a00}
@media(prefers-color-scheme:dark){.sequor-graph{--ground:#14171c;--ink:#e6e9ef;--soft:#a3adba;--line:#7f8a99;--box:#1f242c;--mark:#f0a35e}}
.sequor-graph .ground{fill:#fff;fill:var(--ground)}
.sequor-graph text{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2430;fill:var(--ink);white-space:pre}
.sequor-graph .title{font-weight:bold}
.sequor-graph .types,.sequor-graph .label{fill:#5b6472;fill:var(--soft)}
.sequor-graph .label{stroke:#fff;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
.sequor-graph .own{fill:#a04a00;fill:var(--mark);font-style:italic}
.sequor-graph .box{fill:#f3f5f8;fill:var(--box);stroke:#7a8594;stroke:var(--line)}
.sequor-graph .match.box{stroke-width:3px}
.sequor-graph text.match{font-weight:bold}
.sequor-graph .frame{fill:none;stroke:#7a8594;stroke:var(--line);stroke-dasharray:5 4}
.sequor-graph .way{fill:none;stroke:#7a8594;stroke:var(--line);stroke-width:1.3}
.sequor-graph .tip{fill:#7a8594;fill:var(--line)}
";

pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = write(graph, &placing::place(graph), &mut out);
    out
}

fn write(graph: &Graph, picture: &Picture, out: &mut String) -> std::fmt::Result {
    let Picture { width, height, boxes, frames, ways, head: [name, clauses], foot } = picture;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sequor-graph\" role=\"img\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-size=\"{FONT}\">"
    )?;
    writeln!(out, "<title>{}</title>", escaped(&format!("pattern {}", graph.pattern)))?;
    writeln!(out, "<style>{STYLE}</style>")?;
    writeln!(out, "<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>")?;
    for frame in frames {
        let (x, y) = (frame.x, frame.y);
        writeln!(
            out,
            "<rect class=\"frame\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"8\"/>",
            frame.width, frame.height
        )?;
    }
    for way in ways {
        write_line(way, out)?;
    }
    for (node, place) in graph.nodes.iter().zip(boxes) {
        write_node(node, place, out)?;
    }
    // Texts come last: no line shall run through one.
    for frame in frames {
        write_text(out, "label", "start", frame.title_x, frame.y + LINE - 2, &frame.title)?;
    }
    for way in ways {
        for (i, label) in way.labels.iter().enumerate() {
            // Beside a straight way the link stands above the line, the rest below it.
            let below = if way.corners.len() == 2 && i > 0 { 8 } else { 0 };
            write_text(out, "label", "middle", way.text_at.0, way.text_at.1 + i * LINE + below, label)?;
        }
    }
    write_text(out, "title", "start", MARGIN, name.0, &name.1)?;
    write_text(out, "types", "start", MARGIN, clauses.0, &clauses.1)?;
    if let Some((y, text)) = foot {
        write_text(out, "own", "start", MARGIN, *y, text)?;
    }
    writeln!(out, "</svg>")
}

/// A way with round corners and a tip.
fn write_line(way: &Way, out: &mut String) -> std::fmt::Result {
    const ROUND: usize = 6;
    let corners = &way.corners;
    let (Some(&(x, y)), Some(&end)) = (corners.first(), corners.last()) else { return Ok(()) };
    write!(out, "<path class=\"way\" d=\"M{x} {y}")?;
    for corner in corners.windows(3) {
        let ((x0, y0), (x1, y1), (x2, y2)) = (corner[0], corner[1], corner[2]);
        let round =
            ROUND.min(x0.abs_diff(x1).max(y0.abs_diff(y1)) / 2).min(x1.abs_diff(x2).max(y1.abs_diff(y2)) / 2);
        let (from, to) = (towards((x1, y1), (x0, y0), round), towards((x1, y1), (x2, y2), round));
        write!(out, "L{} {}Q{x1} {y1} {} {}", from.0, from.1, to.0, to.1)?;
    }
    writeln!(out, "L{} {}\"/>", end.0, end.1)?;
    let before = corners[corners.len().saturating_sub(2)];
    let ((x, y), back) = (end, towards(end, before, 8));
    let (dx, dy) = if back.0 == x { (4, 0) } else { (0, 4) };
    let (left, right) = ((back.0 - dx, back.1 - dy), (back.0 + dx, back.1 + dy));
    writeln!(out, "<path class=\"tip\" d=\"M{x} {y}L{} {}L{} {}Z\"/>", left.0, left.1, right.0, right.1)
}

/// The point so far from one towards another that is straight above, below or beside it.
fn towards(from: (usize, usize), to: (usize, usize), by: usize) -> (usize, usize) {
    let step = |a: usize, b: usize| if b > a { a + by.min(b - a) } else { a - by.min(a - b) };
    (step(from.0, to.0), step(from.1, to.1))
}

fn write_node(node: &Node, place: &Box, out: &mut String) -> std::fmt::Result {
    let Box { x, y, width, height, lines } = place;
    match node {
        Node::Start | Node::Match => {
            let (class, round) = (if matches!(node, Node::Start) { "start" } else { "match" }, height / 2);
            writeln!(
                out,
                "<rect class=\"box {class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>"
            )?;
            write_text(out, class, "middle", x + width / 2, y + height / 2 + 4, node.name())
        }
        Node::Stage(_) => {
            writeln!(
                out,
                "<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>"
            )?;
            for (i, line) in lines.iter().enumerate() {
                let class = match line.style {
                    Style::Title => "title",
                    Style::Types => "types",
                    Style::PerEvent => "shared",
                    Style::PerPartialMatch => "own",
                };
                write_text(out, class, "start", x + 10, y + 4 + (i + 1) * LINE, &line.text)?;
            }
            Ok(())
        }
    }
}

fn write_text(
    out: &mut String,
    class: &str,
    anchor: &str,
    x: usize,
    y: usize,
    text: &str,
) -> std::fmt::Result {
    let text = escaped(text);
    writeln!(out, "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>")
}

/// A text in which nothing means anything to XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

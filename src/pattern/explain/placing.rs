//! Where everything of a picture stands: boxes from left to right, ways between neighbours straight, ways over boxes
//! in lanes above, ways back in lanes below. Pure arithmetic in pixels; `svg` draws it.

use super::graph::{Edge, EdgeKind, Graph, Group, Node, Stage};
use super::text::columns;

/// The size of the text, and about the width of a character of it.
pub(super) const FONT: usize = 12;
const CHAR: usize = 8;
/// The height of a line of text.
pub(super) const LINE: usize = 16;
pub(super) const MARGIN: usize = 16;
/// From a box's top to the line on which straight ways run.
const SPINE: usize = 22;
/// Between two ways that leave or enter the same side of a box.
const PORT: usize = 12;
/// Between a box and its nearest lane.
const CLEAR: usize = 12;
/// The longest line in a box, in columns; what is longer is cut.
const LONGEST: usize = 44;

/// A picture.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) boxes: Vec<Box>,
    pub(super) frames: Vec<Frame>,
    pub(super) ways: Vec<Way>,
    /// Texts above and below it all: the name, the clauses, what the marks mean.
    pub(super) head: [(usize, String); 2],
    pub(super) foot: Option<(usize, String)>,
}

/// A node.
pub(super) struct Box {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) lines: Vec<Line>,
}

impl Box {
    fn right(&self) -> usize {
        self.x + self.width
    }
    fn middle(&self) -> usize {
        self.x + self.width / 2
    }
}

/// A line of a stage's text.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

/// What a line of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Title,
    Types,
    PerEvent,
    PerPartialMatch,
}

/// A group's frame.
pub(super) struct Frame {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) title: String,
    /// Where the title begins: behind the first box, where no way goes up.
    pub(super) title_x: usize,
}

/// A way: its corners, and its text, a line each, in the middle of `text_at`.
pub(super) struct Way {
    pub(super) corners: Vec<(usize, usize)>,
    pub(super) labels: Vec<String>,
    pub(super) text_at: (usize, usize),
}

/// About how wide a text is.
pub(super) fn width(text: &str) -> usize {
    columns(text) * CHAR
}

/// A text of at most so many columns.
fn cut(text: &str) -> String {
    if columns(text) <= LONGEST {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut wide = 1;
    for c in text.chars() {
        wide += columns(c.encode_utf8(&mut [0; 4]));
        if wide > LONGEST {
            break;
        }
        short.push(c);
    }
    short + "…"
}

fn lines(stage: &Stage) -> Vec<Line> {
    let line = |style: Style, text: String| Line { text: cut(&text), style };
    let mut lines = vec![line(Style::Title, stage.title()), line(Style::Types, stage.types_text())];
    for (word, condition) in [("", &stage.condition), ("until ", &stage.until)] {
        let Some(condition) = condition else { continue };
        lines.extend(condition.per_event.iter().map(|part| line(Style::PerEvent, format!("{word}{part}"))));
        lines.extend(
            condition
                .per_partial_match
                .iter()
                .map(|part| line(Style::PerPartialMatch, format!("{word}{part}"))),
        );
    }
    lines
}

/// A way that takes a lane: above for those forward, below for those back.
struct Arc<'a> {
    edge: &'a Edge,
    /// Where it leaves and enters its boxes, from the left.
    out: usize,
    into: usize,
    /// From where to where it or its text reaches.
    reach: (usize, usize),
    lane: usize,
}

/// Places a graph.
pub(super) fn place(graph: &Graph) -> Picture {
    let mut straight: Vec<Option<&Edge>> = vec![None; graph.nodes.len()];
    let (mut above, mut below) = (Vec::new(), Vec::new());
    for edge in &graph.edges {
        match edge.kind {
            EdgeKind::Forward if straight[edge.from].is_none() => straight[edge.from] = Some(edge),
            EdgeKind::Forward | EdgeKind::Over => above.push(edge),
            EdgeKind::Again | EdgeKind::Round => below.push(edge),
        }
    }
    let mut boxes = boxes(graph, &straight, &above, &below);
    let above = lanes(&boxes, above);
    let below = lanes(&boxes, below);

    // From top to bottom: lanes, the frames' titles, boxes, lanes.
    let depth =
        |group: usize| graph.groups[..group].iter().filter(|g| g.last >= graph.groups[group].last).count();
    let depths: Vec<usize> = (0..graph.groups.len()).map(depth).collect();
    let deepest = depths.iter().max().map_or(0, |d| d + 1);
    let (above_heights, below_heights) = (heights(&above), heights(&below));
    let lanes_above: usize = above_heights.iter().sum();
    let head_room = MARGIN + 2 * LINE + 8;
    let top = head_room + lanes_above + if above.is_empty() { 0 } else { CLEAR } + deepest * (LINE + 4);
    let tallest = boxes.iter().map(|b| b.height).max().unwrap_or(0);
    let bottom = top + tallest + deepest * 6;
    for (node, place) in graph.nodes.iter().zip(&mut boxes) {
        place.y = if matches!(node, Node::Stage(_)) { top } else { top + SPINE - place.height / 2 };
    }
    let mut ways = Vec::new();
    for edge in straight.iter().flatten() {
        ways.push(straight_way(edge, &boxes, top + SPINE));
    }
    for arc in &above {
        // Lane 0 is the lowest.
        let y = head_room + above_heights[arc.lane..].iter().sum::<usize>() - 4;
        let (from, to) = (&boxes[arc.edge.from], &boxes[arc.edge.to]);
        let labels = arc.edge.labels();
        ways.push(Way {
            corners: vec![(arc.out, from.y), (arc.out, y), (arc.into, y), (arc.into, to.y)],
            text_at: ((arc.out + arc.into) / 2, y - 5 - (labels.len().max(1) - 1) * LINE),
            labels,
        });
    }
    for arc in &below {
        let y = bottom + CLEAR + below_heights[..arc.lane].iter().sum::<usize>() + 4;
        let (from, to) = (&boxes[arc.edge.from], &boxes[arc.edge.to]);
        ways.push(Way {
            corners: vec![
                (arc.out, from.y + from.height),
                (arc.out, y),
                (arc.into, y),
                (arc.into, to.y + to.height),
            ],
            labels: arc.edge.labels(),
            text_at: ((arc.out + arc.into) / 2, y + LINE - 3),
        });
    }
    let frame = |(group, depth): (&Group, &usize)| {
        let (first, last, title) = (&boxes[group.first], &boxes[group.last], group.title());
        let room = 4 + (deepest - depth - 1) * 6;
        let title_x = if group.first == group.last { first.x } else { first.right() } + 8;
        let (x, y) = (first.x - room, top - (deepest - depth) * (LINE + 4));
        let right = (last.right() + room).max(title_x + width(&title) + 8);
        Frame { x, y, width: right - x, height: bottom - y - depth * 6, title, title_x }
    };
    let frames: Vec<Frame> = graph.groups.iter().zip(&depths).map(frame).collect();

    let head = [(MARGIN + FONT, graph.pattern.clone()), (MARGIN + FONT + LINE, clauses(graph))];
    let below_all = bottom + below_heights.iter().sum::<usize>() + if below.is_empty() { 0 } else { CLEAR };
    let has_own = boxes.iter().flat_map(|b| &b.lines).any(|l| l.style == Style::PerPartialMatch);
    let foot = has_own.then(|| {
        (below_all + 2 * LINE, "slanted: tested for each partial match; else once per event".into())
    });
    let texts = ways.iter().flat_map(|w| w.labels.iter().map(|l| w.text_at.0 + width(l) / 2));
    let wide = head.iter().chain(&foot).map(|(_, text)| MARGIN + width(text));
    let right = boxes
        .iter()
        .map(Box::right)
        .chain(frames.iter().map(|f| f.x + f.width))
        .chain(texts)
        .chain(wide)
        .max();
    let height = foot.as_ref().map_or(below_all, |(y, _)| *y) + MARGIN;
    Picture { width: right.unwrap_or(0) + MARGIN, height, boxes, frames, ways, head, foot }
}

/// The clauses that matter to the graph, and its growth, in a line.
fn clauses(graph: &Graph) -> String {
    let mut parts = Vec::new();
    if !graph.key.is_empty() {
        parts.push(format!("key {}", graph.key.join(", ")));
    }
    parts.extend(
        graph
            .within
            .as_ref()
            .map(|w| format!("within {}{}", w.length, if w.between_events { " between events" } else { "" })),
    );
    parts.push(graph.skip.clone());
    if graph.emit_timeouts {
        parts.push("emit timeouts".to_owned());
    }
    parts.push(format!("state: {}", graph.growth.class_text()));
    parts.join(" · ")
}

/// The boxes, without their height above the ground.
fn boxes(graph: &Graph, straight: &[Option<&Edge>], above: &[&Edge], below: &[&Edge]) -> Vec<Box> {
    let mut boxes = Vec::new();
    // A label at the left end may be wider than what it labels.
    let loops =
        below.iter().filter(|e| e.to <= 1).flat_map(|e| e.labels()).map(|l| width(&l) / 2).max().unwrap_or(0);
    let mut x = MARGIN + loops.saturating_sub(80);
    for (number, node) in graph.nodes.iter().enumerate() {
        let leaving = |ways: &[&Edge]| ways.iter().filter(|e| e.from == number).count();
        let entering = |ways: &[&Edge]| ways.iter().filter(|e| e.to == number).count();
        let most = leaving(above).max(entering(above)).max(leaving(below)).max(entering(below));
        let (lines, wide, height) = match node {
            Node::Start | Node::Match => (Vec::new(), width(node.name()) + 20, 28),
            Node::Stage(stage) => {
                let lines = lines(stage);
                let text = lines.iter().map(|l| width(&l.text)).max().unwrap_or(0);
                let height = SPINE.max(lines.len() * LINE + 12);
                (lines, text + 20, height)
            }
        };
        let wide = if most == 0 { wide } else { wide.max((most + 1) * PORT * 2) };
        boxes.push(Box { x, y: 0, width: wide, height, lines });
        let label = straight[number].map_or(0, |e| e.labels().iter().map(|l| width(l)).max().unwrap_or(0));
        x += wide + (label + 28).max(44);
    }
    boxes
}

/// Gives each way that takes a lane its ends and its lane: shorter ones stand nearer to the boxes.
///
/// Ways above leave on the right half of a box and enter on the left half; those below leave right of the middle and
/// enter left of it, whatever lies between. Longer ways stand nearer to the middle above, farther from it below: so
/// no way's upright end crosses a shorter one.
fn lanes<'a>(boxes: &[Box], edges: Vec<&'a Edge>) -> Vec<Arc<'a>> {
    let mut edges = edges;
    edges.sort_by_key(|e| (e.from.abs_diff(e.to), e.from, e.to));
    let is_back = |e: &Edge| e.to <= e.from;
    let (mut leaving, mut entering) = (vec![0; boxes.len()], vec![0; boxes.len()]);
    for edge in &edges {
        leaving[edge.from] += 1;
        entering[edge.to] += 1;
    }
    let (leaving_all, entering_all) = (leaving.clone(), entering.clone());
    let mut arcs: Vec<Arc<'a>> = Vec::new();
    for edge in edges {
        let port = |left: &mut [usize], all: &[usize], node: usize| {
            left[node] -= 1;
            PORT * if is_back(edge) { all[node] - left[node] } else { left[node] + 1 }
        };
        let out = boxes[edge.from].middle() + port(&mut leaving, &leaving_all, edge.from);
        let into = boxes[edge.to].middle().saturating_sub(port(&mut entering, &entering_all, edge.to));
        let middle = (out + into) / 2;
        let half = edge.labels().iter().map(|l| width(l)).max().unwrap_or(0) / 2 + 6;
        let reach = (out.min(into).min(middle.saturating_sub(half)), out.max(into).max(middle + half));
        let beside = |other: &&Arc<'_>| other.reach.0 <= reach.1 && reach.0 <= other.reach.1;
        let lane = arcs.iter().filter(beside).map(|other| other.lane + 1).max().unwrap_or(0);
        arcs.push(Arc { edge, out, into, reach, lane });
    }
    arcs
}

/// How high each lane is.
fn heights(arcs: &[Arc<'_>]) -> Vec<usize> {
    let mut heights = vec![0; arcs.iter().map(|a| a.lane + 1).max().unwrap_or(0)];
    for arc in arcs {
        heights[arc.lane] = heights[arc.lane].max(arc.edge.labels().len().max(1) * LINE + 8);
    }
    heights
}

/// A way between neighbours: its link above the line, the rest below.
fn straight_way(edge: &Edge, boxes: &[Box], y: usize) -> Way {
    let (from, to) = (boxes[edge.from].right(), boxes[edge.to].x);
    Way { corners: vec![(from, y), (to, y)], labels: edge.labels(), text_at: ((from + to) / 2, y - 6) }
}

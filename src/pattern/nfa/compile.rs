//! From plan to automaton: loops and groups are unrolled into positions, and every way from one event to the next
//! becomes an edge. The plan's size was checked before, so unrolling is bounded.

use super::{Automaton, Edge, Position, PositionId, Target};
use crate::pattern::ast::LinkKind;
use crate::pattern::plan::{Element, ElementKind, Negation, Plan, Repeat, Sequence, StageId};

/// The automaton of a plan; none where it would have more than `max_edges` edges (many optional elements in a row:
/// the number of positions was checked before, but each may lead to all behind it).
pub fn compile(plan: &Plan, max_edges: usize) -> Option<Automaton> {
    let mut builder = Builder { positions: Vec::new(), edges_left: max_edges };
    let part = builder.sequence(&plan.sequence);
    if builder.edges_left == 0 {
        return None;
    }
    let start = part
        .entries
        .iter()
        .map(|e| Edge {
            target: Target::Position(e.position),
            link: LinkKind::FollowedByAny,
            in_loop: false,
            yields_to: e.said.yields_to.clone(),
            not_next: Vec::new(),
            not_followed: Vec::new(),
        })
        .collect();
    for exit in part.exits {
        builder.end(exit);
    }
    Some(Automaton { positions: builder.positions, start })
}

/// What the pattern says between two accepted events, as far as one way from the one to the other passes it.
#[derive(Clone, Default)]
struct Said {
    /// Greedy loops that were passed, or took nothing.
    yields_to: Vec<StageId>,
    not_next: Vec<StageId>,
    not_followed: Vec<StageId>,
    /// Whether the last of these negations is the last thing said, and of which kind it is (`next`).
    ends_with: Option<bool>,
}

impl Said {
    /// What was said later, after this.
    fn then(&mut self, later: &Said) {
        add(&mut self.yields_to, &later.yields_to);
        add(&mut self.not_next, &later.not_next);
        add(&mut self.not_followed, &later.not_followed);
        self.ends_with = later.ends_with;
    }

    fn negation(&mut self, negation: &Negation) {
        add(if negation.next { &mut self.not_next } else { &mut self.not_followed }, &[negation.stage]);
        self.ends_with = Some(negation.next);
    }
}

/// A place where a part of the pattern can begin.
#[derive(Clone)]
struct Entry {
    position: PositionId,
    /// The link before it, where it stands inside the part; none: the link before the part counts.
    link: Option<LinkKind>,
    /// What the part says before it, of elements that were left out.
    said: Said,
}

/// A place where a part of the pattern can end, with what was said since.
#[derive(Clone)]
struct Exit {
    position: PositionId,
    said: Said,
}

/// A compiled part: where it begins and ends.
struct Part {
    entries: Vec<Entry>,
    exits: Vec<Exit>,
    /// Where it can match nothing: what it says all the same.
    left_out: Option<Said>,
}

struct Builder {
    positions: Vec<Position>,
    /// How many edges may still be made; at 0 no more are, and the automaton is given up.
    edges_left: usize,
}

impl Builder {
    fn sequence(&mut self, sequence: &Sequence) -> Part {
        let mut whole = Part { entries: Vec::new(), exits: Vec::new(), left_out: Some(Said::default()) };
        for (i, element) in sequence.elements.iter().enumerate() {
            let part = self.element(element);
            self.connect(&whole.exits, &part.entries, element.link, false);
            if let Some(before) = &whole.left_out {
                whole.entries.extend(part.entries.into_iter().map(|mut entry| {
                    let mut said = before.clone();
                    said.then(&entry.said);
                    entry.link = entry.link.or((i > 0).then_some(element.link));
                    Entry { said, ..entry }
                }));
            }
            // Where the element can be left out, what could end before it can still.
            match &part.left_out {
                Some(said) => whole.exits.iter_mut().for_each(|exit| exit.said.then(said)),
                None => whole.exits.clear(),
            }
            whole.left_out = whole.left_out.zip(part.left_out).map(|(mut before, said)| {
                before.then(&said);
                before
            });
            whole.exits.extend(part.exits);
            for negation in &element.negations {
                whole.exits.iter_mut().for_each(|exit| exit.said.negation(negation));
                whole.left_out.iter_mut().for_each(|said| said.negation(negation));
            }
        }
        whole
    }

    /// An element with its iterations. Only one that comes once can be nullable in itself: `check` sees to it.
    fn element(&mut self, element: &Element) -> Part {
        let begin = self.positions.len();
        let copies = element.repeat.max.unwrap_or(element.repeat.min);
        let of_stage = matches!(element.kind, ElementKind::Stage(_));
        let mut whole = Part { entries: Vec::new(), exits: Vec::new(), left_out: None };
        let mut previous: Vec<Exit> = Vec::new();
        for copy in 1..=copies {
            let part = match &element.kind {
                ElementKind::Stage(stage) => self.stage(*stage),
                ElementKind::Group(sequence) => self.sequence(sequence),
            };
            self.connect(&previous, &part.entries, element.inner, of_stage);
            if copy == copies && element.repeat.max.is_none() {
                self.connect(&part.exits, &part.entries, element.inner, of_stage);
            }
            if copy >= element.repeat.min {
                whole.exits.extend(part.exits.iter().cloned());
            }
            if copy == 1 {
                whole.entries = part.entries;
                whole.left_out = part.left_out;
            }
            previous = part.exits;
        }
        let greedy = Said { yields_to: greedy_stage(element).into_iter().collect(), ..Said::default() };
        whole.exits.iter_mut().for_each(|exit| add(&mut exit.said.yields_to, &greedy.yields_to));
        if element.optional {
            whole.left_out = Some(greedy);
        }
        if element.repeat != Repeat::ONCE {
            // `not followed by` after a loop is in force inside it too, from its first event.
            let inside: Vec<StageId> =
                element.negations.iter().filter(|n| !n.next).map(|n| n.stage).collect();
            for edge in self.positions[begin..].iter_mut().flat_map(|p| &mut p.edges) {
                edge.not_followed.extend(&inside);
            }
        }
        whole
    }

    fn stage(&mut self, stage: StageId) -> Part {
        let position = self.positions.len() as PositionId;
        self.positions.push(Position { stage, edges: Vec::new(), accepting: false });
        Part {
            entries: vec![Entry { position, link: None, said: Said::default() }],
            exits: vec![Exit { position, said: Said::default() }],
            left_out: None,
        }
    }

    /// An edge from every exit to every entry; `link` is the one before the part that is entered.
    fn connect(&mut self, exits: &[Exit], entries: &[Entry], link: LinkKind, in_loop: bool) {
        for exit in exits {
            for entry in entries {
                if self.edges_left == 0 {
                    return;
                }
                self.edges_left -= 1;
                let mut said = exit.said.clone();
                said.then(&entry.said);
                self.positions[exit.position as usize].edges.push(Edge {
                    target: Target::Position(entry.position),
                    link: entry.link.unwrap_or(link),
                    in_loop,
                    yields_to: said.yields_to,
                    not_next: said.not_next,
                    not_followed: said.not_followed,
                });
            }
        }
    }

    /// The end of the pattern, after the event accepted at `exit`.
    fn end(&mut self, exit: Exit) {
        let position = &mut self.positions[exit.position as usize];
        let Said { yields_to, not_next, not_followed, ends_with } = exit.said;
        let target = match ends_with {
            None => {
                position.accepting = true;
                return;
            }
            Some(true) => Target::NextEvent,
            Some(false) => Target::Deadline,
        };
        let link = LinkKind::FollowedBy;
        position.edges.push(Edge { target, link, in_loop: false, yields_to, not_next, not_followed });
    }
}

/// The stage of a greedy loop to which what follows yields; `{n}` has no choice to be greedy about.
fn greedy_stage(element: &Element) -> Option<StageId> {
    match element.kind {
        ElementKind::Stage(stage) if element.greedy && element.repeat.max != Some(element.repeat.min) => {
            Some(stage)
        }
        _ => None,
    }
}

/// Adds what is not there yet.
fn add(list: &mut Vec<StageId>, more: &[StageId]) {
    for stage in more {
        if !list.contains(stage) {
            list.push(*stage);
        }
    }
}

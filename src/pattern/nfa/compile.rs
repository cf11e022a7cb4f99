//! From plan to automaton: loops and groups are unrolled into positions, and every way from one event to the next
//! becomes an edge. The plan's size was checked before, so unrolling is bounded.

use super::{Automaton, Edge, Position, PositionId, Target};
use crate::pattern::ast::LinkKind;
use crate::pattern::plan::{Element, ElementKind, Plan, Repeat, Sequence, StageId};

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
            yields_to: e.yields_to.clone(),
            not_next: Vec::new(),
            not_followed: Vec::new(),
        })
        .collect();
    for exit in part.exits {
        builder.end(exit);
    }
    Some(Automaton { positions: builder.positions, start })
}

/// A place where a part of the pattern can begin.
#[derive(Clone)]
struct Entry {
    position: PositionId,
    /// The link before it, where it stands inside the part; none: the link before the part counts.
    link: Option<LinkKind>,
    /// Greedy loops that were left out before it.
    yields_to: Vec<StageId>,
}

/// A place where a part of the pattern can end, with what was said since.
#[derive(Clone)]
struct Exit {
    position: PositionId,
    yields_to: Vec<StageId>,
    not_next: Vec<StageId>,
    not_followed: Vec<StageId>,
    /// Whether the last of these negations is the last thing said, and of which kind it is (`next`).
    ends_with: Option<bool>,
}

/// A compiled part: where it begins and ends; `nullable` where it can match nothing.
struct Part {
    entries: Vec<Entry>,
    exits: Vec<Exit>,
    nullable: bool,
    /// The greedy loops that took nothing where all of it is left out: what follows yields to them all the same.
    left_out: Vec<StageId>,
}

struct Builder {
    positions: Vec<Position>,
    /// How many edges may still be made; at 0 no more are, and the automaton is given up.
    edges_left: usize,
}

impl Builder {
    fn sequence(&mut self, sequence: &Sequence) -> Part {
        let mut whole = Part { entries: Vec::new(), exits: Vec::new(), nullable: true, left_out: Vec::new() };
        for (i, element) in sequence.elements.iter().enumerate() {
            let part = self.element(element);
            self.connect(&whole.exits, &part.entries, element.link, false);
            if whole.nullable {
                whole.entries.extend(part.entries.iter().map(|e| Entry {
                    position: e.position,
                    link: e.link.or((i > 0).then_some(element.link)),
                    yields_to: union(&e.yields_to, &whole.left_out),
                }));
            }
            if part.nullable {
                // The element can be left out: what could end before it can still, but yields to its greedy loops.
                for exit in &mut whole.exits {
                    exit.yields_to.extend(&part.left_out);
                    exit.ends_with = None;
                }
                whole.left_out.extend(part.left_out);
            } else {
                whole.exits.clear();
                whole.left_out.clear();
                whole.nullable = false;
            }
            whole.exits.extend(part.exits);
            for negation in &element.negations {
                for exit in &mut whole.exits {
                    let list = if negation.next { &mut exit.not_next } else { &mut exit.not_followed };
                    list.push(negation.stage);
                    exit.ends_with = Some(negation.next);
                }
            }
        }
        whole
    }

    /// An element with its iterations. Only one that comes once can be nullable in itself: `check` sees to it.
    fn element(&mut self, element: &Element) -> Part {
        let begin = self.positions.len();
        let copies = element.repeat.max.unwrap_or(element.repeat.min);
        let of_stage = matches!(element.kind, ElementKind::Stage(_));
        let mut whole =
            Part { entries: Vec::new(), exits: Vec::new(), nullable: element.optional, left_out: Vec::new() };
        if let (Some(stage), true) = (greedy_stage(element), element.optional) {
            whole.left_out.push(stage);
        }
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
                whole.nullable |= part.nullable;
                if !element.optional {
                    whole.left_out = part.left_out;
                }
            }
            previous = part.exits;
        }
        if let Some(stage) = greedy_stage(element) {
            for exit in &mut whole.exits {
                exit.yields_to.push(stage);
            }
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
            entries: vec![Entry { position, link: None, yields_to: Vec::new() }],
            exits: vec![Exit {
                position,
                yields_to: Vec::new(),
                not_next: Vec::new(),
                not_followed: Vec::new(),
                ends_with: None,
            }],
            nullable: false,
            left_out: Vec::new(),
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
                self.positions[exit.position as usize].edges.push(Edge {
                    target: Target::Position(entry.position),
                    link: entry.link.unwrap_or(link),
                    in_loop,
                    yields_to: union(&exit.yields_to, &entry.yields_to),
                    not_next: exit.not_next.clone(),
                    not_followed: exit.not_followed.clone(),
                });
            }
        }
    }

    /// The end of the pattern, after the event accepted at `exit`.
    fn end(&mut self, exit: Exit) {
        let position = &mut self.positions[exit.position as usize];
        let target = match exit.ends_with {
            None => {
                position.accepting = true;
                return;
            }
            Some(true) => Target::NextEvent,
            Some(false) => Target::Deadline,
        };
        position.edges.push(Edge {
            target,
            link: LinkKind::FollowedBy,
            in_loop: false,
            yields_to: exit.yields_to,
            not_next: exit.not_next,
            not_followed: exit.not_followed,
        });
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

fn union(a: &[StageId], b: &[StageId]) -> Vec<StageId> {
    let mut all = a.to_vec();
    all.extend(b.iter().filter(|s| !a.contains(s)));
    all
}

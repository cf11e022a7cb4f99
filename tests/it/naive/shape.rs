//! A pattern's elements, and what a partial match waits for after each event that it accepted: the section "How a
//! pattern matches" of the reference, as far as it does not depend on events.

use sequor::pattern::ast::{
    self, ClauseKind, Element, Expr, LinkKind, ModifierKind, Path, QuantifierKind, Skip, Types,
};

use super::output::path_text;

/// A pattern as it was written, its clauses sorted.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// Its name.
    pub(crate) name: String,
    /// The streams that it reads; none: all.
    pub(crate) streams: Option<Vec<String>>,
    /// The paths of its key.
    pub(crate) key: Vec<Path>,
    /// Its stages in the order of the text, negations included.
    pub(crate) stages: Vec<Stage>,
    /// Its elements.
    pub(crate) elements: Vec<Part>,
    /// The window in milliseconds, and whether it is counted from the event accepted before.
    pub(crate) within: Option<(i64, bool)>,
    /// What a match that is taken skips.
    pub(crate) skip: Skip,
    /// Whether timeouts are emitted.
    pub(crate) emit_timeouts: bool,
    /// The computed fields.
    pub(crate) select: Vec<(String, Expr)>,
}

/// What a stage accepts.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Its name.
    pub(crate) name: String,
    /// The types; none: any event.
    pub(crate) types: Option<Vec<String>>,
    /// `where`
    pub(crate) condition: Option<Expr>,
    /// `until`
    pub(crate) until: Option<Expr>,
}

/// An element of a sequence, and the negations right after it.
#[derive(Debug)]
pub(crate) struct Part {
    link: LinkKind,
    kind: PartKind,
    min: u64,
    max: u64,
    optional: bool,
    between: LinkKind,
    greedy: bool,
    negations: Vec<(LinkKind, usize)>,
}

#[derive(Debug)]
enum PartKind {
    Stage(usize),
    Group(Vec<Part>),
}

/// Where the last accepted event stands: for each sequence from the outermost in, the element and how often it has
/// come, this time included.
pub(crate) type Place = Vec<(usize, u64)>;

/// One of the things that a partial match waits for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wait {
    /// What it waits for.
    pub(crate) goal: Goal,
    /// Stages of greedy loops before it: it neither takes nor skips what they would accept.
    pub(crate) greedy: Vec<usize>,
}

/// What a partial match may wait for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Goal {
    /// An event for a stage.
    Event {
        /// Where the stage stands.
        place: Place,
        /// The stage.
        stage: usize,
        /// Whether the loop has accepted an event before.
        inside_loop: bool,
        /// The link.
        link: LinkKind,
    },
    /// The next event, whatever it is: the pattern ends with `not next`.
    NextEvent,
    /// The deadline: the pattern ends with `not followed by`.
    Deadline,
}

/// A negation in force.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Negation {
    /// Whether it looks at the very next event alone.
    pub(crate) next: bool,
    /// The stage that says what it excludes.
    pub(crate) stage: usize,
    /// Stages of greedy loops before it: `not next` does not see what they would accept.
    pub(crate) greedy: Vec<usize>,
}

/// What follows an accepted event, or the beginning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    /// Whether nothing more is needed.
    pub(crate) complete: bool,
    /// What is waited for.
    pub(crate) waits: Vec<Wait>,
    /// The negations in force.
    pub(crate) negations: Vec<Negation>,
}

/// What was passed since the last accepted event, on one way.
#[derive(Debug, Clone, Default)]
struct Passed {
    /// Greedy loops.
    greedy: Vec<usize>,
    /// The last negation, if no element stands between it and here.
    negation: Option<LinkKind>,
}

impl Pattern {
    /// Sorts the clauses of a pattern that the checker accepts.
    pub(crate) fn new(tree: &ast::Pattern) -> Pattern {
        let mut pattern = Pattern {
            name: tree.name.text.clone(),
            streams: None,
            key: Vec::new(),
            stages: Vec::new(),
            elements: Vec::new(),
            within: None,
            skip: Skip::NoSkip,
            emit_timeouts: false,
            select: Vec::new(),
        };
        for clause in &tree.clauses {
            match &clause.kind {
                ClauseKind::From(names) => {
                    pattern.streams = Some(names.iter().map(|name| name.text.clone()).collect());
                }
                ClauseKind::KeyBy(paths) => pattern.key = paths.clone(),
                ClauseKind::Match(sequence) => pattern.elements = parts(sequence, &mut pattern.stages),
                ClauseKind::Within { span, between_events } => {
                    pattern.within = Some((span.0, *between_events))
                }
                ClauseKind::AfterMatch(skip) => pattern.skip = skip.clone(),
                ClauseKind::EmitTimeouts => pattern.emit_timeouts = true,
                ClauseKind::Select(items) => {
                    pattern.select = items.iter().map(|item| (item_name(item), item.expr.clone())).collect();
                }
            }
        }
        pattern
    }

    /// What a partial match may begin with.
    pub(crate) fn at_beginning(&self) -> Ways {
        let mut ways = Ways::default();
        self.element_from(&mut Vec::new(), 0, None, &Passed::default(), &mut ways);
        ways
    }

    /// What follows an event accepted at a place.
    pub(crate) fn after(&self, place: &Place) -> Ways {
        let mut ways = Ways::default();
        self.after_part(&mut place.clone(), &Passed::default(), &mut ways);
        // A `not followed by` after a loop, or after a group that may come again, is in force inside it too, from its
        // first event.
        for depth in 1..=place.len() {
            let part = self.part(&place[..depth]);
            for (link, stage) in part.negations.iter().filter(|_| part.max > 1) {
                let negation = Negation { next: false, stage: *stage, greedy: Vec::new() };
                if *link == LinkKind::NotFollowedBy && !ways.negations.contains(&negation) {
                    ways.negations.push(negation);
                }
            }
        }
        ways
    }

    /// The element at a place.
    fn part(&self, place: &[(usize, u64)]) -> &Part {
        let (last, around) = place.split_last().unwrap();
        &self.inside(around)[last.0]
    }

    /// The elements of the group at a place; those of the pattern at the empty one.
    fn inside(&self, place: &[(usize, u64)]) -> &[Part] {
        if place.is_empty() {
            return &self.elements;
        }
        match &self.part(place).kind {
            PartKind::Group(parts) => parts,
            PartKind::Stage(_) => unreachable!("a stage holds no elements"),
        }
    }

    /// The element at `place` has come as often as `place` says: it comes again, or what follows it comes.
    fn after_part(&self, place: &mut Place, passed: &Passed, ways: &mut Ways) {
        let part = self.part(place);
        let count = place.last().unwrap().1;
        if count < part.max {
            place.last_mut().unwrap().1 += 1;
            self.enter(place, part.between, passed, ways);
            place.last_mut().unwrap().1 -= 1;
        }
        if count >= part.min {
            let mut passed = passed.clone();
            passed.leave(part);
            for (link, stage) in &part.negations {
                let negation = Negation {
                    next: *link == LinkKind::NotNext,
                    stage: *stage,
                    greedy: passed.greedy.clone(),
                };
                if !ways.negations.contains(&negation) {
                    ways.negations.push(negation);
                }
                passed.negation = Some(*link);
            }
            let (index, count) = place.pop().unwrap();
            self.element_from(place, index + 1, None, &passed, ways);
            place.push((index, count));
        }
    }

    /// The element with this number, of the group at `around`, comes, or is left out.
    fn element_from(
        &self,
        around: &mut Place,
        index: usize,
        link: Option<LinkKind>,
        passed: &Passed,
        ways: &mut Ways,
    ) {
        let Some(part) = self.inside(around).get(index) else {
            if around.is_empty() {
                match passed.negation {
                    None => ways.complete = true,
                    Some(LinkKind::NotNext) => ways.wait(Goal::NextEvent, passed),
                    Some(_) => ways.wait(Goal::Deadline, passed),
                }
            } else {
                self.after_part(around, passed, ways);
            }
            return;
        };
        around.push((index, 1));
        self.enter(around, link.unwrap_or(part.link), passed, ways);
        around.pop();
        if part.optional {
            let mut passed = passed.clone();
            passed.leave(part);
            passed.negation = None;
            self.element_from(around, index + 1, None, &passed, ways);
        }
    }

    /// The element at `place` begins (once more).
    fn enter(&self, place: &mut Place, link: LinkKind, passed: &Passed, ways: &mut Ways) {
        match &self.part(place).kind {
            PartKind::Stage(stage) => {
                let inside_loop = place.last().unwrap().1 > 1;
                ways.wait(Goal::Event { place: place.clone(), stage: *stage, inside_loop, link }, passed);
            }
            // The link before the group is for its first event.
            PartKind::Group(_) => self.element_from(place, 0, Some(link), passed, ways),
        }
    }
}

impl Ways {
    fn wait(&mut self, goal: Goal, passed: &Passed) {
        let wait = Wait { goal, greedy: passed.greedy.clone() };
        if !self.waits.contains(&wait) {
            self.waits.push(wait);
        }
    }
}

impl Passed {
    fn leave(&mut self, part: &Part) {
        if let (PartKind::Stage(stage), true) = (&part.kind, part.greedy && part.min != part.max) {
            self.greedy.push(*stage);
        }
    }
}

/// The name of a computed field.
fn item_name(item: &ast::Item) -> String {
    match (&item.alias, &item.expr.kind) {
        (Some(name), _) => name.text.clone(),
        (None, ast::ExprKind::Path(path)) => path_text(path),
        (None, _) => sequor::pattern::print::print_expr(&item.expr),
    }
}

fn parts(sequence: &ast::Sequence, stages: &mut Vec<Stage>) -> Vec<Part> {
    // The link before the first element is the group's, or the pattern begins there.
    let mut parts = vec![part(LinkKind::FollowedBy, &sequence.first, stages)];
    for (link, element) in &sequence.rest {
        match link.kind {
            LinkKind::NotNext | LinkKind::NotFollowedBy => {
                let stage = stages.len();
                part(link.kind, element, stages);
                parts.last_mut().unwrap().negations.push((link.kind, stage));
            }
            kind => parts.push(part(kind, element, stages)),
        }
    }
    parts
}

fn part(link: LinkKind, element: &Element, stages: &mut Vec<Stage>) -> Part {
    let (kind, quantifier, modifiers) = match element {
        Element::Stage(stage) => {
            let expr = |wanted: fn(&ModifierKind) -> Option<&Expr>| {
                stage.modifiers.iter().find_map(|modifier| wanted(&modifier.kind)).cloned()
            };
            stages.push(Stage {
                name: stage.name.text.clone(),
                types: match &stage.types {
                    Types::Any(_) => None,
                    Types::OneOf(names) => Some(names.iter().map(|name| name.text.clone()).collect()),
                },
                condition: expr(|kind| if let ModifierKind::Where(expr) = kind { Some(expr) } else { None }),
                until: expr(|kind| if let ModifierKind::Until(expr) = kind { Some(expr) } else { None }),
            });
            (PartKind::Stage(stages.len() - 1), &stage.quantifier, &stage.modifiers)
        }
        Element::Group(group) => {
            (PartKind::Group(parts(&group.sequence, stages)), &group.quantifier, &group.modifiers)
        }
    };
    let (min, max, left_out) = match quantifier.as_ref().map(|quantifier| quantifier.kind) {
        None => (1, 1, false),
        Some(QuantifierKind::Optional) => (1, 1, true),
        Some(QuantifierKind::Plus) => (1, u64::MAX, false),
        Some(QuantifierKind::Star) => (1, u64::MAX, true),
        Some(QuantifierKind::Exactly(n)) => (n, n, false),
        Some(QuantifierKind::AtLeast(n)) => (n, u64::MAX, false),
        Some(QuantifierKind::Between(0, max)) => (1, max, true),
        Some(QuantifierKind::Between(min, max)) => (min, max, false),
    };
    let says = |kind: &ModifierKind| modifiers.iter().any(|modifier| modifier.kind == *kind);
    let between = if says(&ModifierKind::Consecutive) {
        LinkKind::Next
    } else if says(&ModifierKind::Combinations) {
        LinkKind::FollowedByAny
    } else {
        LinkKind::FollowedBy
    };
    Part {
        link,
        kind,
        min,
        max,
        optional: left_out || says(&ModifierKind::Optional),
        between,
        greedy: says(&ModifierKind::Greedy),
        negations: Vec::new(),
    }
}

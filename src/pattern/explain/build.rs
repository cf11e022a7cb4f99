//! From a checked pattern to its graph.

use std::collections::{BTreeMap, BTreeSet};

use super::advice;
use super::graph::{Condition, Edge, EdgeKind, Graph, Group, Index, Link, Node, Stage, Unless, Window};
use crate::pattern::ast::{self, LinkKind};
use crate::pattern::expr::Expr;
use crate::pattern::nfa::{self, Automaton, Target};
use crate::pattern::plan::{self, Element, ElementKind, Plan, Repeat, Sequence, Skip, StageId};
use crate::pattern::print::print_expr;

/// The largest automaton that is explained, in edges.
const MAX_EDGES: usize = 200_000;
/// The most ways that are drawn; nobody can read half as many.
const MAX_WAYS: usize = 5_000;

impl Graph {
    /// The graph of a pattern, from its text's tree and from what it means. None where it is too large to be of use.
    pub fn new(tree: &ast::Pattern, plan: &Plan) -> Option<Graph> {
        let automaton = nfa::compile(plan, MAX_EDGES)?;
        let written = stages_as_written(tree);
        let mut elements: BTreeMap<StageId, &Element> = BTreeMap::new();
        each_stage(&plan.sequence, &mut |stage, element| {
            elements.insert(stage, element);
        });
        let stage = |id: StageId| -> Stage {
            let of = &plan.stages[id];
            let (quantifier, modifiers) = elements.get(&id).map_or_else(Default::default, |e| repetition(e));
            let texts = written.get(of.name.as_str()).copied().unwrap_or_default();
            Stage {
                name: of.name.clone(),
                quantifier,
                modifiers,
                types: of.types.clone(),
                condition: of.condition.as_ref().map(|e| condition(e, texts.condition)),
                until: of.until.as_ref().map(|e| condition(e, texts.until)),
            }
        };
        // The nodes are the start, the stages that accept events, and the match.
        let (negated, accepting): (Vec<_>, Vec<_>) =
            (0..plan.stages.len()).partition(|&id| plan.stages[id].negated);
        let node: BTreeMap<StageId, usize> =
            accepting.iter().enumerate().map(|(i, &id)| (id, i + 1)).collect();
        let mut nodes = vec![Node::Start];
        nodes.extend(accepting.iter().map(|&id| Node::Stage(stage(id))));
        nodes.push(Node::Match);
        let edges = edges(plan, &automaton, &node);
        if edges.len() > MAX_WAYS {
            return None;
        }
        let mut groups = Vec::new();
        gather_groups(&plan.sequence, &node, &mut groups);
        Some(Graph {
            pattern: plan.name.clone(),
            streams: plan.streams.clone(),
            key: plan.key.iter().map(ToString::to_string).collect(),
            within: plan.within.map(|w| Window {
                length: w.span.to_string(),
                ms: w.span.0,
                between_events: w.between_events,
            }),
            skip: skip(plan),
            emit_timeouts: plan.emit_timeouts,
            edges,
            nodes,
            groups,
            negations: negated.into_iter().map(stage).collect(),
            positions: automaton.positions.len(),
            index: index(plan, &automaton),
            storage: nfa::storage(plan, &automaton),
            growth: advice::growth(plan, &automaton),
        })
    }
}

fn skip(plan: &Plan) -> String {
    let name = |id: StageId| plan.stages[id].name.as_str();
    match plan.skip {
        Skip::NoSkip => "no skip".to_owned(),
        Skip::ToNext => "skip to next".to_owned(),
        Skip::PastLast => "skip past last".to_owned(),
        Skip::ToFirst(id) => format!("skip to first {}", name(id)),
        Skip::ToLast(id) => format!("skip to last {}", name(id)),
    }
}

/// A stage's conditions in the tree of the text.
#[derive(Debug, Clone, Copy, Default)]
struct Written<'a> {
    condition: Option<&'a ast::Expr>,
    until: Option<&'a ast::Expr>,
}

fn stages_as_written(tree: &ast::Pattern) -> BTreeMap<&str, Written<'_>> {
    fn gather<'a>(sequence: &'a ast::Sequence, into: &mut BTreeMap<&'a str, Written<'a>>) {
        for element in std::iter::once(&sequence.first).chain(sequence.rest.iter().map(|(_, e)| e)) {
            let stage = match element {
                ast::Element::Stage(stage) => stage,
                ast::Element::Group(group) => {
                    gather(&group.sequence, into);
                    continue;
                }
            };
            let mut written = Written::default();
            for modifier in &stage.modifiers {
                match &modifier.kind {
                    ast::ModifierKind::Where(e) => written.condition = Some(e),
                    ast::ModifierKind::Until(e) => written.until = Some(e),
                    _ => {}
                }
            }
            into.insert(&stage.name.text, written);
        }
    }
    let mut all = BTreeMap::new();
    for clause in &tree.clauses {
        if let ast::ClauseKind::Match(sequence) = &clause.kind {
            gather(sequence, &mut all);
        }
    }
    all
}

/// A condition divided at its `and`s, in the words of the text.
fn condition(expr: &Expr, written: Option<&ast::Expr>) -> Condition {
    fn conjuncts<'a>(expr: &'a ast::Expr, into: &mut Vec<&'a ast::Expr>) {
        match &expr.kind {
            ast::ExprKind::And(terms) => terms.iter().for_each(|t| conjuncts(t, into)),
            _ => into.push(expr),
        }
    }
    let text = written.map(print_expr).unwrap_or_default();
    let (mut meant, mut said) = (Vec::new(), Vec::new());
    expr.conjuncts(&mut |part| meant.push(part));
    if let Some(written) = written {
        conjuncts(written, &mut said);
    }
    let mut condition = Condition { text, per_event: Vec::new(), per_partial_match: Vec::new() };
    if meant.len() == said.len() {
        for (meant, said) in meant.into_iter().zip(said) {
            let part = if meant.is_iterative() {
                &mut condition.per_partial_match
            } else {
                &mut condition.per_event
            };
            part.push(print_expr(said));
        }
    } else {
        let part =
            if expr.is_iterative() { &mut condition.per_partial_match } else { &mut condition.per_event };
        part.push(condition.text.clone());
    }
    condition
}

/// An element's quantifier and the words after it.
pub(super) fn repetition(element: &Element) -> (String, Vec<&'static str>) {
    let (mut modifiers, Repeat { min, max }) = (Vec::new(), element.repeat);
    let (quantifier, says_optional) = match (min, max, element.optional) {
        (1, Some(1), true) => ("?".to_owned(), true),
        (1, None, true) => ("*".to_owned(), true),
        (1, Some(1), false) => (String::new(), false),
        (1, None, false) => ("+".to_owned(), false),
        (_, None, _) => (format!("{{{min},}}"), false),
        (_, Some(max), _) if max == min => (format!("{{{min}}}"), false),
        (_, Some(max), _) => (format!("{{{min},{max}}}"), false),
    };
    if element.optional && !says_optional {
        modifiers.push("optional");
    }
    match element.inner {
        LinkKind::Next => modifiers.push("consecutive"),
        LinkKind::FollowedByAny => modifiers.push("combinations"),
        _ => {}
    }
    if element.greedy {
        modifiers.push("greedy");
    }
    (quantifier, modifiers)
}

fn each_stage<'a>(sequence: &'a Sequence, with: &mut impl FnMut(StageId, &'a Element)) {
    for element in &sequence.elements {
        match &element.kind {
            ElementKind::Stage(stage) => with(*stage, element),
            ElementKind::Group(inner) => each_stage(inner, with),
        }
    }
}

fn gather_groups(sequence: &Sequence, node: &BTreeMap<StageId, usize>, into: &mut Vec<Group>) {
    for element in &sequence.elements {
        let ElementKind::Group(inner) = &element.kind else { continue };
        if element.repeat != Repeat::ONCE || element.optional {
            let mut of = Vec::new();
            each_stage(inner, &mut |stage, _| of.extend(node.get(&stage)));
            if let (Some(&first), Some(&last)) = (of.first(), of.last()) {
                let (quantifier, modifiers) = repetition(element);
                into.push(Group { first, last, quantifier, modifiers });
            }
        }
        gather_groups(inner, node, into);
    }
}

/// The distinct ways between stages.
fn edges(plan: &Plan, automaton: &Automaton, node: &BTreeMap<StageId, usize>) -> Vec<Edge> {
    let name = |id: &StageId| plan.stages[*id].name.clone();
    let end = node.len() + 1;
    let number = |position: nfa::PositionId| node.get(&automaton.positions[position as usize].stage).copied();
    let mut all = BTreeSet::new();
    let mut add = |from: usize, edge: &nfa::Edge| {
        let to = match edge.target {
            Target::Position(position) => number(position).unwrap_or(end),
            Target::NextEvent | Target::Deadline => end,
        };
        let link = match (edge.target, edge.link) {
            (Target::NextEvent, _) => Link::AtNextEvent,
            (Target::Deadline, _) => Link::AtDeadline,
            (Target::Position(_), _) if from == 0 => Link::Begins,
            (Target::Position(_), LinkKind::Next) => Link::Next,
            (Target::Position(_), LinkKind::FollowedByAny) => Link::FollowedByAny,
            (Target::Position(_), _) => Link::FollowedBy,
        };
        let kind = match to.cmp(&from) {
            _ if edge.in_loop => EdgeKind::Again,
            std::cmp::Ordering::Greater if to == from + 1 => EdgeKind::Forward,
            std::cmp::Ordering::Greater => EdgeKind::Over,
            _ => EdgeKind::Round,
        };
        let unless = |next: bool, stages: &[StageId]| {
            stages.iter().map(|id| Unless { next, stage: name(id) }).collect::<Vec<_>>()
        };
        let mut negations = unless(true, &edge.not_next);
        negations.extend(unless(false, &edge.not_followed));
        let yields_to = edge.yields_to.iter().map(name).collect();
        all.insert(Edge { from, to, kind, link, unless: negations, yields_to });
    };
    for edge in &automaton.start {
        add(0, edge);
    }
    for position in &automaton.positions {
        let Some(&from) = node.get(&position.stage) else { continue };
        position.edges.iter().for_each(|edge| add(from, edge));
    }
    for position in automaton.positions.iter().filter(|p| p.accepting) {
        let Some(&from) = node.get(&position.stage) else { continue };
        let kind = if end == from + 1 { EdgeKind::Forward } else { EdgeKind::Over };
        let (unless, yields_to) = (Vec::new(), Vec::new());
        all.insert(Edge { from, to: end, kind, link: Link::Completes, unless, yields_to });
    }
    all.into_iter().collect()
}

fn index(plan: &Plan, automaton: &Automaton) -> Index {
    let types = plan.stages.iter().map(|s| s.types.as_ref()).collect::<Option<Vec<_>>>();
    let types =
        types.map(|all| all.into_iter().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect());
    // Tests are the same where they are of the same fields; across patterns the engine knows fields by their paths.
    let (mut shared, mut own) = (BTreeSet::new(), 0);
    for expr in plan.stages.iter().flat_map(|s| s.condition.iter().chain(&s.until)) {
        expr.conjuncts(&mut |part| {
            if part.is_iterative() {
                own += 1;
            } else {
                shared.insert(format!("{part:?}"));
            }
        });
    }
    Index {
        types,
        strict: strict(&plan.stages, automaton),
        shared_tests: shared.len(),
        tests_per_partial_match: own,
    }
}

/// The first words in the pattern that make every event count.
fn strict(stages: &[plan::Stage], automaton: &Automaton) -> Option<String> {
    let mut edges = automaton.positions.iter().flat_map(|p| p.edges.iter().map(move |e| (p.stage, e)));
    let (from, edge) = edges.find(|(_, e)| e.sees_all())?;
    Some(match (edge.not_next.first(), edge.target) {
        (Some(&negated), _) => format!("not next {}", stages[negated].name),
        (None, Target::Position(to)) => {
            let to = automaton.positions[to as usize].stage;
            if to == from && edge.in_loop {
                format!("{} consecutive", stages[to].name)
            } else {
                format!("next {}", stages[to].name)
            }
        }
        (None, _) => "not next".to_owned(),
    })
}

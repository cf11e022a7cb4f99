//! The growth of a pattern's state in words, and the changes that would make it less. A change is tried on the plan
//! before it is told: what does not help is not said.

use super::graph::{Growth, Remedy};
use crate::pattern::ast::LinkKind;
use crate::pattern::nfa::{self, Automaton, Cause};
use crate::pattern::plan::{Element, ElementKind, Plan, Repeat, Sequence, Skip, StageId};

/// Changes are tried while (elements × edges) is below this: a pattern beyond it takes too long to try.
const TRIES: usize = 200_000;

/// The growth of a pattern.
pub(super) fn growth(plan: &Plan, automaton: &Automaton) -> Growth {
    let (growth, cause) = nfa::growth(plan, automaton);
    let nothing = automaton.positions.iter().all(|p| p.edges.is_empty());
    let (class, power) = match growth {
        nfa::Growth::Bounded if nothing => ("none", Some(0)),
        nfa::Growth::Bounded => ("bounded", Some(0)),
        nfa::Growth::Polynomial(power) => (name(power), Some(power)),
        nfa::Growth::Exponential => ("exponential", None),
    };
    let stage = |id: StageId| plan.stages[id].name.clone();
    Growth {
        class,
        power,
        stage: cause.map(|c| stage(c.stage)),
        waits_for: cause.and_then(|c| c.waits_for).map(stage),
        explanation: explanation(plan, growth, cause, nothing),
        lifetime: if nothing { None } else { lifetime(plan) },
        remedies: remedies(plan, automaton, growth),
    }
}

fn name(power: u32) -> &'static str {
    match power {
        1 => "linear",
        2 => "quadratic",
        3 => "cubic",
        _ => "polynomial",
    }
}

fn explanation(plan: &Plan, growth: nfa::Growth, cause: Option<Cause>, nothing: bool) -> String {
    let events = if plan.within.is_some() { "events of its key in the window" } else { "events of its key" };
    let Some(cause) = cause else {
        return if nothing {
            "nothing is held: every match is complete with its first event".to_owned()
        } else {
            format!(
                "a key holds no more than a fixed number of partial matches, however many {events} there are"
            )
        };
    };
    let stage = &plan.stages[cause.stage].name;
    let gather = match cause.waits_for {
        Some(id) if id == cause.stage => format!("in the loop of `{stage}`"),
        Some(id) => format!("after `{stage}`, where they wait for `{}`", plan.stages[id].name),
        None => format!("after `{stage}`, where they wait for the end of the window"),
    };
    match growth {
        nfa::Growth::Bounded => String::new(),
        nfa::Growth::Polynomial(1) => {
            format!("partial matches grow with the number of {events}; they gather {gather}")
        }
        nfa::Growth::Polynomial(power) => format!(
            "partial matches grow with the {} of the number of {events}; they gather {gather}",
            match power {
                2 => "square".to_owned(),
                3 => "cube".to_owned(),
                _ => format!("{power}th power"),
            }
        ),
        nfa::Growth::Exponential => format!(
            "partial matches can double again and again with the {events}: one that has come to `{stage}` goes on in \
             several ways, and each of them comes back there"
        ),
    }
}

fn lifetime(plan: &Plan) -> Option<String> {
    let loops = |e: &Element| e.repeat.max.is_none();
    match plan.within {
        None => Some(
            "there is no `within`: a partial match that is not completed is kept for as long as its key lives; add `within`"
                .to_owned(),
        ),
        Some(within) if within.between_events && elements(&plan.sequence).iter().any(|(e, _, _)| loops(e)) => Some(
            "the window is counted between events: a partial match lives for as long as its loop goes on".to_owned(),
        ),
        Some(_) => None,
    }
}

/// A change of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The link before it.
    Link(LinkKind),
    /// The link between its iterations.
    Inner(LinkKind),
    Greedy,
    /// A largest count.
    Bound,
}

impl Change {
    fn apply(self, element: &mut Element) {
        match self {
            Change::Link(link) => element.link = link,
            Change::Inner(link) => element.inner = link,
            Change::Greedy => element.greedy = true,
            Change::Bound => element.repeat.max = Some(bound(element.repeat)),
        }
    }
}

/// A largest count to try and to tell.
fn bound(repeat: Repeat) -> u32 {
    repeat.min.saturating_add(9)
}

/// What would make it grow less.
fn remedies(plan: &Plan, automaton: &Automaton, growth: nfa::Growth) -> Vec<Remedy> {
    if growth == nfa::Growth::Bounded {
        return Vec::new();
    }
    let all = elements(&plan.sequence);
    let edges: usize = automaton.positions.iter().map(|p| p.edges.len()).sum();
    let mut remedies = Vec::new();
    if all.len().saturating_mul(edges) <= TRIES {
        let changes: Vec<(usize, Change, String)> = all
            .iter()
            .enumerate()
            .flat_map(|(i, (element, before, after))| {
                let changes = changes(plan, element, *before, *after).into_iter();
                changes.map(move |(change, text)| (i, change, text))
            })
            .collect();
        let grown = |changes: &[&(usize, Change, String)]| {
            let mut plan = plan.clone();
            for (index, change, _) in changes {
                if let Some(element) = element_mut(&mut plan.sequence, *index) {
                    change.apply(element);
                }
            }
            let changed = nfa::compile(&plan, edges * 12 + 1_000)?;
            Some(nfa::growth(&plan, &changed).0).filter(|g| *g < growth)
        };
        for change in &changes {
            if let Some(grown) = grown(&[change]) {
                remedies.push(Remedy { change: change.2.clone(), effect: format!("then {}", class(grown)) });
            }
        }
        let loosest: Vec<_> = changes.iter().filter(|(_, c, _)| *c == Change::Bound || frees(*c)).collect();
        if remedies.is_empty()
            && let Some(grown) = grown(&loosest)
        {
            let change = loosest.iter().map(|(_, _, text)| text.as_str()).collect::<Vec<_>>().join("; and ");
            remedies.push(Remedy { change, effect: format!("together; then {}", class(grown)) });
        }
    }
    if let (Some(_), Some(stage)) = (plan.within, first_stage(&plan.sequence)) {
        remedies.push(Remedy {
            change: format!(
                "a shorter `within`, or a `where` on `{}` that fewer events pass",
                plan.stages[stage].name
            ),
            effect: format!("then fewer events count; still {}", class(growth)),
        });
    }
    if plan.skip == Skip::NoSkip && growth > nfa::Growth::Polynomial(1) {
        remedies.push(Remedy {
            change: "`after match skip past last`, or another skip strategy".to_owned(),
            effect:
                "then a match ends the partial matches that it skips; the worst case, without a match, stays"
                    .to_owned(),
        });
    }
    remedies
}

fn frees(change: Change) -> bool {
    matches!(change, Change::Link(LinkKind::FollowedBy) | Change::Inner(LinkKind::FollowedBy))
}

fn class(growth: nfa::Growth) -> String {
    match growth {
        nfa::Growth::Bounded => "bounded".to_owned(),
        nfa::Growth::Polynomial(power @ 4..) => format!("polynomial (power {power})"),
        nfa::Growth::Polynomial(power) => name(power).to_owned(),
        nfa::Growth::Exponential => "exponential".to_owned(),
    }
}

/// The changes of an element that the language's rules allow, each with its words.
fn changes(
    plan: &Plan,
    element: &Element,
    before: Option<&Element>,
    after: Option<&Element>,
) -> Vec<(Change, String)> {
    let name = match &element.kind {
        ElementKind::Stage(id) => format!("`{}`", plan.stages[*id].name),
        ElementKind::Group(inner) => {
            let stage = first_stage(inner).map_or("", |id| plan.stages[id].name.as_str());
            format!("the group that begins with `{stage}`")
        }
    };
    let mut changes = Vec::new();
    if element.link == LinkKind::FollowedByAny {
        let text = format!("`followed by` instead of `followed by any` before {name}");
        changes.push((Change::Link(LinkKind::FollowedBy), text));
    }
    if before.is_some_and(|b| b.negations.is_empty()) && element.link != LinkKind::Next {
        changes.push((Change::Link(LinkKind::Next), format!("`next` before {name}, if it comes at once")));
    }
    if element.repeat != Repeat::ONCE {
        if element.inner == LinkKind::FollowedByAny {
            changes.push((Change::Inner(LinkKind::FollowedBy), format!("no `combinations` on {name}")));
        }
        if element.inner != LinkKind::Next {
            let text = format!("`consecutive` on {name}, if its events come one right after the other");
            changes.push((Change::Inner(LinkKind::Next), text));
        }
        let is_stage = matches!(element.kind, ElementKind::Stage(_));
        let choice = element.repeat.max != Some(element.repeat.min);
        if is_stage
            && choice
            && !element.greedy
            && element.inner != LinkKind::FollowedByAny
            && after.is_some_and(|e| !begins_optionally(e))
        {
            changes.push((Change::Greedy, format!("`greedy` on {name}")));
        }
        let until = match element.kind {
            ElementKind::Stage(id) => plan.stages[id].until.is_some(),
            ElementKind::Group(_) => false,
        };
        if element.repeat.max.is_none() && !until {
            let (min, max) = (element.repeat.min, bound(element.repeat));
            changes.push((Change::Bound, format!("a largest count for {name}, such as `{{{min},{max}}}`")));
        }
    }
    changes
}

fn first_stage(sequence: &Sequence) -> Option<StageId> {
    match &sequence.elements.first()?.kind {
        ElementKind::Stage(id) => Some(*id),
        ElementKind::Group(inner) => first_stage(inner),
    }
}

fn begins_optionally(element: &Element) -> bool {
    let of_group = |inner: &Sequence| inner.elements.first().is_some_and(begins_optionally);
    element.optional || matches!(&element.kind, ElementKind::Group(inner) if of_group(inner))
}

/// All elements, outer ones first, each with its neighbours in its sequence.
fn elements(sequence: &Sequence) -> Vec<(&Element, Option<&Element>, Option<&Element>)> {
    let mut all = Vec::new();
    for (i, element) in sequence.elements.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| sequence.elements.get(i));
        all.push((element, before, sequence.elements.get(i + 1)));
        if let ElementKind::Group(inner) = &element.kind {
            all.extend(elements(inner));
        }
    }
    all
}

/// The element with this number in the order of [`elements`].
fn element_mut(sequence: &mut Sequence, mut number: usize) -> Option<&mut Element> {
    for element in &mut sequence.elements {
        if number == 0 {
            return Some(element);
        }
        number -= 1;
        if let ElementKind::Group(inner) = &element.kind {
            let count = elements(inner).len();
            if number >= count {
                number -= count;
                continue;
            }
        } else {
            continue;
        }
        return match &mut element.kind {
            ElementKind::Group(inner) => element_mut(inner, number),
            ElementKind::Stage(_) => None,
        };
    }
    None
}

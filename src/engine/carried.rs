//! What the conditions of a pattern ask of the earlier events of a partial match, so that asking takes no walk along
//! its path: where it can be told from the pattern alone which event is meant, that; else values that each step carries,
//! made from those of the step before when a stage takes an event.
//!
//! What is asked rarely (`a[-2].x`) or of paths that are always short is found by a walk, and carried by nobody.

use std::cell::RefCell;

use smallvec::SmallVec;

use super::condition::Condition;
use super::path::Surroundings;
use super::store::{NONE, Store};
use crate::pattern::eval::{Sum, takes_place};
use crate::pattern::expr::{Aggregate, Attribute, Expr, Pick};
use crate::pattern::nfa::{Automaton, PositionId, Target};
use crate::pattern::plan::StageId;

/// A path of so many events is walked as quickly as anything is carried along it.
const SHORT: usize = 8;

/// A value that a step carries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Carried {
    /// How many events the stage has taken.
    Count(u32),
    /// An event, or none.
    Event(u32),
    /// How many values there are, and their sum.
    Whole(u32, i64),
    /// The same from the first float on.
    Float(u32, f64),
    /// There are values of kinds that do not go together.
    Mixed,
    /// What takes a walk after all: a sum that an `i64` does not hold.
    #[default]
    Unknown,
}

/// What is carried.
#[derive(Debug, Clone, PartialEq)]
enum Need {
    Count(StageId),
    /// The stage's event of that number, counted from 0.
    Nth(StageId, u32),
    Last(StageId),
    /// For `sum` and `avg`.
    Sum(StageId, Attribute),
    /// The event that has the least or the greatest value.
    Extreme(Aggregate, StageId, Attribute),
}

/// Where one of a stage's events is found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// It is the first one of every path.
    Beginning,
    /// It is the last one of the path, or there is none.
    End,
    /// It is carried: the number of the need.
    Carried(usize),
}

/// What the steps of a pattern carry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Carries {
    needs: Vec<Need>,
    ways: Vec<(StageId, Pick, Way)>,
}

impl Carries {
    /// What conditions need that are asked along the paths of an automaton.
    pub(crate) fn new(automaton: &Automaton, conditions: &[Condition]) -> Carries {
        let mut carries = Carries::default();
        let asked = RefCell::new(Vec::new());
        for expr in conditions.iter().flat_map(|condition| &condition.iterative) {
            expr.any(&|part| {
                if matches!(part, Expr::Stage(..) | Expr::Aggregate(..)) {
                    asked.borrow_mut().push(part.clone());
                }
                false
            });
        }
        let asked = asked.into_inner();
        if !asked.is_empty() && Paths(automaton).may_be_long() {
            asked.into_iter().for_each(|part| carries.add_part(part, automaton));
        }
        carries
    }

    fn add_part(&mut self, part: Expr, automaton: &Automaton) {
        let (aggregate, stage, attribute) = match part {
            Expr::Stage(stage, pick, _) => return self.add_pick(stage, pick, automaton),
            Expr::Aggregate(aggregate, stage, attribute) => (aggregate, stage, attribute),
            _ => return,
        };
        let need = match (aggregate, attribute) {
            (Aggregate::First, _) => return self.add_pick(stage, Pick::Index(0), automaton),
            (Aggregate::Last, _) => return self.add_pick(stage, Pick::Last, automaton),
            (Aggregate::Min | Aggregate::Max, Some(attribute)) => Need::Extreme(aggregate, stage, attribute),
            (Aggregate::Sum | Aggregate::Avg, Some(attribute)) => Need::Sum(stage, attribute),
            _ => Need::Count(stage),
        };
        self.add(need);
    }

    /// How many values each step carries.
    pub(crate) fn len(&self) -> usize {
        self.needs.len()
    }

    fn add(&mut self, need: Need) -> usize {
        self.needs.iter().position(|known| *known == need).unwrap_or_else(|| {
            self.needs.push(need);
            self.needs.len() - 1
        })
    }

    fn add_pick(&mut self, stage: StageId, pick: Pick, automaton: &Automaton) {
        if self.ways.iter().any(|(of, which, _)| (*of, *which) == (stage, pick)) {
            return;
        }
        let paths = Paths(automaton);
        let is_last = pick == Pick::Last || pick == Pick::Index(-1);
        let is_first = pick == Pick::Index(0);
        let way = if (is_first || is_last && paths.has_once(stage)) && paths.begin_with(stage) {
            Way::Beginning
        } else if is_last && paths.end_after(stage) {
            Way::End
        } else if is_last {
            Way::Carried(self.add(Need::Last(stage)))
        } else {
            match pick {
                Pick::Index(index) if let Ok(index) = u32::try_from(index) => {
                    Way::Carried(self.add(Need::Nth(stage, index)))
                }
                _ => return,
            }
        };
        self.ways.push((stage, pick, way));
    }

    /// A path that goes one step further, with one reference.
    #[inline]
    pub(crate) fn extend(
        &self,
        around: &Surroundings,
        store: &mut Store,
        before: u32,
        event: u32,
        stage: StageId,
    ) -> u32 {
        let node = store.extend(before, event, stage);
        if !self.needs.is_empty() {
            self.carry(around, store, node, before);
        }
        node
    }

    fn carry(&self, around: &Surroundings, store: &mut Store, node: u32, before: u32) {
        let (event, stage) = (store.nodes[node].event, store.nodes[node].stage as StageId);
        let mut values = SmallVec::<[Carried; 8]>::new();
        let mut old = store.carried(before);
        for need in &self.needs {
            let value = old.next().unwrap_or(need.at_the_beginning());
            let is_concerned = need.stage() == stage;
            values.push(if is_concerned { need.after(value, event, around, store) } else { value });
        }
        drop(old);
        values.into_iter().rev().for_each(|value| store.carry(node, value));
    }

    fn value(&self, store: &Store, node: u32, is_it: impl Fn(&Need) -> bool) -> Carried {
        match self.needs.iter().position(is_it) {
            Some(number) => self.numbered(store, node, number),
            None => Carried::Unknown,
        }
    }

    fn numbered(&self, store: &Store, node: u32, number: usize) -> Carried {
        if node == NONE {
            return self.needs[number].at_the_beginning();
        }
        store.carried(node).nth(number).unwrap_or_default()
    }

    /// One of a stage's events, where that takes no walk; `Err` where it does.
    #[inline]
    pub(crate) fn pick(
        &self,
        store: &Store,
        node: u32,
        stage: StageId,
        pick: Pick,
    ) -> Result<Option<u32>, ()> {
        if node == NONE {
            return Ok(None);
        }
        let way = self.ways.iter().find(|(of, which, _)| *of == stage && *which == pick);
        let step = &store.nodes[node];
        match way.ok_or(())?.2 {
            Way::Beginning => Ok(Some(step.first)),
            Way::End => Ok((step.stage as StageId == stage).then_some(step.event)),
            Way::Carried(number) => match self.numbered(store, node, number) {
                Carried::Event(event) => Ok((event != NONE).then_some(event)),
                _ => Ok(None),
            },
        }
    }

    /// How many events a stage has taken; none where that takes a walk.
    pub(crate) fn count(&self, store: &Store, node: u32, stage: StageId) -> Option<usize> {
        match self.value(store, node, |need| *need == Need::Count(stage)) {
            Carried::Count(count) => Some(count as usize),
            _ => None,
        }
    }

    /// A sum; none where that takes a walk.
    pub(crate) fn sum(&self, store: &Store, node: u32, stage: StageId, attribute: &Attribute) -> Option<Sum> {
        let is_it = |need: &Need| matches!(need, Need::Sum(of, what) if *of == stage && what == attribute);
        self.value(store, node, is_it).sum()
    }

    /// The event with the least or greatest value; `NONE` where there is no value. `Err` where there are values of kinds
    /// that do not go together. None where that takes a walk.
    pub(crate) fn extreme(
        &self,
        store: &Store,
        node: u32,
        aggregate: Aggregate,
        stage: StageId,
        attribute: &Attribute,
    ) -> Option<Result<u32, ()>> {
        let is_it = |need: &Need| {
            matches!(need, Need::Extreme(kind, of, what)
                if (*kind, *of) == (aggregate, stage) && what == attribute)
        };
        match self.value(store, node, is_it) {
            Carried::Event(event) => Some(Ok(event)),
            Carried::Mixed => Some(Err(())),
            _ => None,
        }
    }
}

impl Carried {
    fn sum(self) -> Option<Sum> {
        let sum = |values, whole, float| Sum { values: u64::from(values), whole, float, wrong: false };
        match self {
            Carried::Whole(values, whole) => Some(sum(values, i128::from(whole), None)),
            Carried::Float(values, float) => Some(sum(values, 0, Some(float))),
            Carried::Mixed => Some(Sum { wrong: true, ..Sum::default() }),
            _ => None,
        }
    }
}

impl From<Sum> for Carried {
    fn from(sum: Sum) -> Carried {
        let values = u32::try_from(sum.values);
        match (values, sum.float, i64::try_from(sum.whole)) {
            _ if sum.wrong => Carried::Mixed,
            (Ok(values), Some(float), _) => Carried::Float(values, float),
            (Ok(values), None, Ok(whole)) => Carried::Whole(values, whole),
            _ => Carried::Unknown,
        }
    }
}

impl Need {
    fn stage(&self) -> StageId {
        match self {
            Need::Count(stage) | Need::Nth(stage, _) | Need::Last(stage) => *stage,
            Need::Sum(stage, _) | Need::Extreme(_, stage, _) => *stage,
        }
    }

    /// Its value where no event has been taken.
    fn at_the_beginning(&self) -> Carried {
        match self {
            Need::Count(_) | Need::Nth(..) => Carried::Count(0),
            Need::Last(_) | Need::Extreme(..) => Carried::Event(NONE),
            Need::Sum(..) => Carried::Whole(0, 0),
        }
    }

    /// Its value when the stage has taken one event more.
    fn after(&self, value: Carried, event: u32, around: &Surroundings, store: &Store) -> Carried {
        match (self, value) {
            (Need::Count(_), Carried::Count(count)) => Carried::Count(count + 1),
            (Need::Nth(_, index), Carried::Count(count)) if count == *index => Carried::Event(event),
            (Need::Nth(..), Carried::Count(count)) => Carried::Count(count + 1),
            (Need::Last(_), _) => Carried::Event(event),
            (Need::Sum(_, attribute), value) => match value.sum() {
                Some(mut sum) => {
                    sum.add(&around.read(&store.row(event), attribute));
                    sum.into()
                }
                None => value,
            },
            (Need::Extreme(kind, _, attribute), Carried::Event(best)) => {
                let new = around.read(&store.row(event), attribute);
                let old = (best != NONE).then(|| around.read(&store.row(best), attribute));
                match takes_place(*kind, &new, old.as_ref()) {
                    Some(true) => Carried::Event(event),
                    Some(false) => value,
                    None => Carried::Mixed,
                }
            }
            _ => value,
        }
    }
}

/// What can be said of all paths of an automaton.
struct Paths<'a>(&'a Automaton);

impl Paths<'_> {
    /// Whether there are paths that are not short.
    fn may_be_long(&self) -> bool {
        let positions = &self.0.positions;
        let returns = |at: PositionId| self.behind(self.after(at)).contains(&at);
        positions.len() > SHORT || (0..positions.len() as PositionId).any(returns)
    }

    /// Whether each path begins with an event of the stage.
    fn begin_with(&self, stage: StageId) -> bool {
        self.0.start.iter().all(|edge| match edge.target {
            Target::Position(position) => self.stage(position) == stage,
            _ => false,
        })
    }

    /// Whether the stage, which each path begins with, takes no other event.
    fn has_once(&self, stage: StageId) -> bool {
        (0..self.0.positions.len() as PositionId).all(|at| self.after(at).all(|to| self.stage(to) != stage))
    }

    /// Whether nothing is asked any more of a path that had an event of the stage, when it goes on with another stage.
    fn end_after(&self, stage: StageId) -> bool {
        let of_stage = (0..self.0.positions.len() as PositionId).filter(|&at| self.stage(at) == stage);
        let behind = self.behind(of_stage.flat_map(|at| self.after(at)));
        behind.into_iter().all(|at| self.stage(at) == stage || self.0.positions[at as usize].edges.is_empty())
    }

    fn stage(&self, position: PositionId) -> StageId {
        self.0.positions[position as usize].stage
    }

    fn after(&self, position: PositionId) -> impl Iterator<Item = PositionId> {
        self.0.positions[position as usize].edges.iter().filter_map(|edge| match edge.target {
            Target::Position(position) => Some(position),
            _ => None,
        })
    }

    /// Some positions and all that can come after them.
    fn behind(&self, from: impl Iterator<Item = PositionId>) -> Vec<PositionId> {
        let mut is_known = vec![false; self.0.positions.len()];
        let (mut all, mut open) = (Vec::new(), from.collect::<Vec<_>>());
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut is_known[at as usize], true) {
                all.push(at);
                open.extend(self.after(at));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::PatternSet;
    use crate::event::record::StreamSettings;
    use crate::pattern::{Limits, compile};

    fn carried(pattern: &str) -> usize {
        let plans = compile(&format!("pattern p {pattern} within 1h"), &Limits::default()).plans;
        assert_eq!(plans.len(), 1, "{pattern}");
        PatternSet::new(plans, &StreamSettings::default(), &[]).carried()
    }

    #[test]
    fn only_what_a_walk_would_look_for_is_carried() {
        let none = [
            "match a: t next b: t where x > a.x",
            "match a: t followed by b: t where x > sum(a.x) + count(a)",
            "match a: t followed by b+: t where x > a.x and x > coalesce(b.x, 0) and w == a[0].w",
            "match a+: t where x > coalesce(a.x, 0) and x != first(a.x)",
            "match a: t next b+: t where x > coalesce(b.x, a.x) consecutive greedy next c: t where x < b.x",
        ];
        for pattern in none {
            assert_eq!(carried(pattern), 0, "{pattern}");
        }
        let some = [
            ("match a+: t next b: t where sum(a.x) + x > 1000", 1),
            ("match a+: t next b: t where avg(a.x) < x and sum(a.x) > 3 and count(a) > 1", 2),
            ("match a+: t followed by b+: t where x > a.x and x > max(a.x) and x > min(a.x)", 3),
            (
                "match a+: t followed by b+: t followed by c: t where x > b[0].x and x > b[-1].x and x != b[1].x",
                2,
            ),
            ("match a: t optional followed by b{9}: t where x > a.x", 1),
            ("match a: t followed by b+: t followed by c+: t where x > b.x", 1),
        ];
        for (pattern, values) in some {
            assert_eq!(carried(pattern), values, "{pattern}");
        }
    }
}

//! The installed patterns: compiled once, immutable, shared by all shards. Fields, types, keys and predicates of all
//! patterns are numbered together here, so that an event is read and tested once for all of them.

use std::cell::RefCell;
use std::sync::Arc;

use smallvec::SmallVec;

use super::carried::Carries;
use super::condition::{Condition, Predicates, Types};
use super::gate::Gate;
use super::index::{Need, Tokens};
use super::life::Life;
use super::limits::Budget;
use super::matched::Labels;
use super::path::Surroundings;
use super::route::Routes;
use crate::event::record::StreamSettings;
use crate::event::{FieldPath, Schema, TimeSpan, TypeId};
use crate::pattern::expr::{Attribute, Expr};
use crate::pattern::nfa::{self, Automaton, Storage};
use crate::pattern::plan::{Plan, Skip, Within};

/// The number of a condition within its pattern.
pub(crate) type AtomId = u32;

/// A set of patterns, ready to run.
#[derive(Debug, Clone)]
pub struct PatternSet {
    /// In the order in which they were added. A pattern keeps its number in every set that is made from this one, and
    /// so do fields, types, keys, predicates and shapes; those that were removed are holes.
    pub(crate) patterns: Vec<Arc<Compiled>>,
    /// By pattern: its place in the order of (name, version), which is its place in outputs.
    pub(crate) ranks: Vec<u32>,
    /// The numbers of the patterns that are there, in that order.
    pub(super) by_rank: Vec<u32>,
    /// By pattern: who has what it held: itself, or the version that took over from it.
    pub(crate) heirs: Vec<u32>,
    pub(crate) shapes: Vec<Arc<Shape>>,
    pub(crate) predicates: Predicates,
    pub(crate) around: Surroundings,
    pub(crate) routes: Routes,
    pub(crate) tokens: Tokens,
    /// How many of the schema's fields, the first ones, are needed of kept events.
    pub(crate) kept_fields: usize,
    /// Whether partial matches are never held as sets.
    pub(crate) runs_only: bool,
    /// The lengths of windows, each once.
    pub(crate) windows: Vec<TimeSpan>,
    /// Patterns that have budgets over all keys, and some that had.
    pub(crate) summed: Vec<u32>,
    /// By type.
    pub(super) gates: Vec<Gate>,
    schema: Schema,
    types: hashbrown::HashMap<Arc<str>, TypeId, ahash::RandomState>,
    /// The number of a shape.
    shape_numbers: hashbrown::HashMap<Arc<Shape>, u32, ahash::RandomState>,
    type_field: FieldPath,
}

/// One pattern, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) plan: Arc<Plan>,
    pub(crate) version: u64,
    pub(crate) life: Life,
    /// The pattern of the set from which it takes over what that one holds.
    pub(crate) takes_over: Option<u32>,
    /// Without a key, all of it is in one shard: this number says in which. All versions of a pattern have the same.
    pub(crate) home: u32,
    /// The number of its shape.
    pub(crate) shape: u32,
    /// The number of its window's length.
    pub(crate) window: u32,
    pub(crate) within: Option<Within>,
    pub(crate) skip: Skip,
    pub(crate) emit_timeouts: bool,
    /// After a match, those of its key do not leave for so long.
    pub(crate) suppress: Option<TimeSpan>,
    /// What it may hold and give.
    pub(crate) budget: Option<Arc<Budget>>,
    /// How often it was decided about, and how often all that it held was dropped by that.
    pub(crate) decided: (u64, u64),
    /// Names of the stages in the order of the text.
    pub(crate) stages: Vec<String>,
    /// The conditions, each once.
    pub(crate) atoms: Vec<Condition>,
    /// A bit for each of the first conditions that depends on the partial match.
    pub(crate) iterative: u64,
    /// What its conditions need to know of earlier events.
    pub(crate) carries: Carries,
    /// Whether an event that no condition is true of can still change a partial match.
    pub(crate) sees_all: bool,
    /// How its partial matches are held.
    pub(crate) storage: Storage,
    /// The number of its key specification.
    pub(crate) key: usize,
    /// By rank of a stream: whether the pattern reads it.
    pub(crate) streams: Vec<bool>,
    pub(crate) select: Vec<(String, Expr)>,
    /// The slots that are read of events that were accepted before.
    pub(crate) kept: Vec<usize>,
    /// What its matches say alike.
    pub(crate) labels: Labels,
}

/// What the states of a pattern and their cells follow from. Patterns that differ in names and conditions alone have
/// one shape.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) automaton: Automaton,
    /// By stage: when it accepts, `until` aside.
    pub(crate) accept: Vec<AtomId>,
    /// By stage: its `until`.
    pub(crate) until: Vec<Option<AtomId>>,
}

impl Shape {
    /// How many conditions a pattern of this shape has.
    pub(crate) fn conditions(&self) -> usize {
        let all = self.accept.iter().chain(self.until.iter().flatten());
        all.max().map_or(0, |&last| last as usize + 1)
    }
}

impl PatternSet {
    /// Compiles plans for a run over the named streams (`streams` in code point order: the ranks that positions have).
    /// Each is version 1 of its pattern.
    pub fn new(plans: Vec<Plan>, settings: &StreamSettings, streams: &[String]) -> PatternSet {
        PatternSet::of_versions(plans.into_iter().map(|plan| (plan, 1)).collect(), settings, streams)
    }

    /// The same with a version for each plan. No two have the same name and version.
    pub fn of_versions(plans: Vec<(Plan, u64)>, settings: &StreamSettings, streams: &[String]) -> PatternSet {
        let mut plans = plans;
        plans.sort_by(|(a, version), (b, other)| a.name.cmp(&b.name).then(version.cmp(other)));
        let mut set = PatternSet::empty(FieldPath::dotted(&settings.type_field), streams.to_vec());
        plans.into_iter().for_each(|(plan, version)| _ = set.add(Arc::new(plan), version));
        set.finish();
        set
    }

    pub(super) fn empty(type_field: FieldPath, streams: Vec<String>) -> PatternSet {
        PatternSet {
            patterns: Vec::new(),
            ranks: Vec::new(),
            by_rank: Vec::new(),
            heirs: Vec::new(),
            shapes: Vec::new(),
            predicates: Predicates::default(),
            around: Surroundings { type_slot: None, streams },
            routes: Routes::default(),
            tokens: Tokens::default(),
            kept_fields: 0,
            runs_only: false,
            windows: Vec::new(),
            summed: Vec::new(),
            gates: Vec::new(),
            schema: Schema::default(),
            types: hashbrown::HashMap::default(),
            shape_numbers: hashbrown::HashMap::default(),
            type_field,
        }
    }

    /// Makes all of it ready after patterns were added.
    pub(super) fn finish(&mut self) {
        self.routes.finish();
        self.make_gates(|_| true);
    }

    /// Adds a pattern; its number.
    pub(super) fn add(&mut self, plan: Arc<Plan>, version: u64) -> u32 {
        if self.around.type_slot.is_none() && reads_type(&plan) {
            self.around.type_slot = Some(self.schema.field(&self.type_field));
        }
        let number = self.patterns.len() as u32;
        let rank = self.rank(&plan.name, version);
        let neighbours = [rank.checked_sub(1), Some(rank)].into_iter().flatten();
        let same_name = neighbours.filter_map(|at| self.by_rank.get(at).map(|&n| &self.patterns[n as usize]));
        let same_name = same_name.filter(|known| known.plan.name == plan.name).map(|known| known.home);
        let home = same_name.min().unwrap_or(number);
        self.by_rank[rank..].iter().for_each(|&known| self.ranks[known as usize] += 1);
        self.by_rank.insert(rank, number);
        self.ranks.push(rank as u32);
        self.heirs.push(number);
        let (pattern, needs) = Compiled::new(plan, version, home, self);
        let kept = pattern.kept.iter().chain(&self.schema.keys[pattern.key]);
        let kept = kept.chain(&self.around.type_slot).map(|slot| slot + 1).max().unwrap_or(0);
        self.kept_fields = self.kept_fields.max(kept);
        self.routes.add(number, &pattern, &needs);
        self.patterns.push(Arc::new(pattern));
        number
    }

    /// The shard of those patterns of a name that have no key, as a number; none: there is none of this name.
    pub(super) fn home(&self, name: &str) -> Option<u32> {
        let first = self.patterns.get(*self.by_rank.get(self.rank(name, 0))? as usize)?;
        (first.plan.name == name).then_some(first.home)
    }

    /// How many patterns come before one of this name and version.
    pub(super) fn rank(&self, name: &str, version: u64) -> usize {
        self.by_rank.partition_point(|&known| {
            let known = &self.patterns[known as usize];
            (known.plan.name.as_str(), known.version) < (name, version)
        })
    }

    /// The id of a type, whether it is new or not.
    fn type_id(&mut self, name: &str) -> TypeId {
        if let Some(known) = self.types.get(name) {
            return *known;
        }
        let (next, name) = (TypeId(TypeId::FIRST_NAMED + self.schema.types.len() as u32), Arc::from(name));
        self.schema.types.push(Arc::clone(&name));
        self.types.insert(name, next);
        next
    }

    /// The number of a window's length.
    fn window(&mut self, span: TimeSpan) -> u32 {
        let known = self.windows.iter().rposition(|&known| known == span);
        known.unwrap_or_else(|| {
            self.windows.push(span);
            self.windows.len() - 1
        }) as u32
    }

    fn shape(&mut self, shape: Shape) -> u32 {
        let next = self.shapes.len() as u32;
        let shape = Arc::new(shape);
        *self.shape_numbers.entry(shape).or_insert_with_key(|shape| {
            self.shapes.push(Arc::clone(shape));
            next
        })
    }

    /// The same with each partial match held by itself, also where a pattern could hold them as sets: the same matches
    /// in the same order, by another way.
    pub fn with_runs(self) -> PatternSet {
        PatternSet { runs_only: true, ..self }
    }

    /// How many values a step of a partial match carries along for conditions on earlier events, over all patterns.
    pub fn carried(&self) -> usize {
        self.patterns.iter().map(|pattern| pattern.carries.len()).sum()
    }

    /// What has to be read from events.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The field that holds the type.
    pub(super) fn type_field(&self) -> &FieldPath {
        &self.type_field
    }

    /// The patterns' names, by number: in the order in which they were added, those of a new set by name. Also of those
    /// that were removed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|p| p.plan.name.as_str())
    }
}

/// Whether a plan reads events' types as values.
fn reads_type(plan: &Plan) -> bool {
    let of_stages = plan.stages.iter().flat_map(|s| s.condition.iter().chain(&s.until));
    let mut all = of_stages.chain(plan.select.iter().map(|(_, e)| e));
    all.any(|e| {
        e.any(&|part| {
            matches!(
                part,
                Expr::This(Attribute::Type)
                    | Expr::Stage(_, _, Attribute::Type)
                    | Expr::Aggregate(_, _, Some(Attribute::Type))
            )
        })
    })
}

impl Compiled {
    /// Compiles a plan with the numbers of a set; also what each of its conditions needs.
    fn new(plan: Arc<Plan>, version: u64, home: u32, set: &mut PatternSet) -> (Compiled, Vec<Option<Need>>) {
        let automaton =
            nfa::compile(&plan, usize::MAX).unwrap_or(Automaton { positions: Vec::new(), start: Vec::new() });
        let storage = nfa::storage(&plan, &automaton);
        let slots: Vec<usize> = plan.fields.iter().map(|f| set.schema.field(f)).collect();
        let key_slots: Vec<usize> = plan.key.iter().map(|f| set.schema.field(f)).collect();
        let mut atoms = Atoms { all: Vec::new(), needs: Vec::new(), names: Vec::new() };
        let (mut accept, mut until) = (Vec::new(), Vec::new());
        for stage in &plan.stages {
            let types = match stage.types.as_deref() {
                None => Types::Any,
                Some([only]) => Types::One(set.type_id(only)),
                Some(all) => Types::Set(all.iter().map(|t| set.type_id(t)).collect()),
            };
            let condition = stage.condition.as_ref().map(|e| resolved(e, &slots));
            accept.push(atoms.intern(types, condition.as_ref(), set));
            let condition = stage.until.as_ref().map(|e| resolved(e, &slots));
            until.push(condition.map(|e| atoms.intern(Types::Any, Some(&e), set)));
        }
        let sees_all = automaton.positions.iter().flat_map(|p| &p.edges).any(nfa::Edge::sees_all);
        let window = plan.within.map_or(0, |within| set.window(within.span));
        let streams = &set.around.streams;
        let mut compiled = Compiled {
            version,
            life: Life::Active,
            takes_over: None,
            home,
            labels: Labels::new(&plan, version),
            window,
            within: plan.within,
            skip: plan.skip,
            emit_timeouts: plan.emit_timeouts,
            suppress: None,
            budget: None,
            decided: (0, 0),
            stages: plan.stages.iter().map(|s| s.name.clone()).collect(),
            streams: streams
                .iter()
                .map(|s| plan.streams.as_ref().is_none_or(|from| from.contains(s)))
                .collect(),
            select: plan.select.iter().map(|(name, e)| (name.clone(), resolved(e, &slots))).collect(),
            kept: Vec::new(),
            key: set.schema.key(&key_slots),
            carries: Carries::new(&automaton, &atoms.all),
            shape: set.shape(Shape { automaton, accept, until }),
            iterative: (atoms.all.iter().take(64).enumerate())
                .map(|(bit, atom)| u64::from(!atom.iterative.is_empty()) << bit)
                .sum(),
            atoms: atoms.all,
            sees_all,
            storage,
            plan,
        };
        compiled.kept = compiled.kept_fields(set.around.type_slot);
        (compiled, atoms.needs)
    }

    /// The slots that are read of events that partial matches or matches have accepted.
    fn kept_fields(&self, type_slot: Option<usize>) -> Vec<usize> {
        let conditions = self.atoms.iter().flat_map(|atom| &atom.iterative);
        let slots = RefCell::new(Vec::new());
        for expr in conditions.chain(self.select.iter().map(|(_, expr)| expr)) {
            expr.any(&|part| {
                if let Expr::Stage(_, _, attribute) | Expr::Aggregate(_, _, Some(attribute)) = part {
                    slots.borrow_mut().extend(match attribute {
                        Attribute::Field(slot) => Some(*slot),
                        Attribute::Type => type_slot,
                        _ => None,
                    });
                }
                false
            });
        }
        slots.into_inner()
    }

    /// Reads what an event of its type needs first, so that it is near when it is needed.
    pub(crate) fn touch(&self) -> usize {
        let first = |atom: &Condition| atom.unary.first().map_or(0, |&predicate| predicate as usize);
        let ends = self.atoms.first().map_or(0, first) + self.atoms.last().map_or(0, first);
        ends + self.shape as usize + self.key + usize::from(self.sees_all) + self.window as usize
    }

    /// Whether events of a type concern it.
    pub(crate) fn sees(&self, kind: TypeId) -> bool {
        self.sees_all || self.atoms.iter().any(|atom| atom.types.has(kind))
    }
}

/// The conditions of one pattern while they are numbered.
struct Atoms {
    all: Vec<Condition>,
    needs: Vec<Option<Need>>,
    names: Vec<String>,
}

impl Atoms {
    fn intern(&mut self, types: Types, expr: Option<&Expr>, set: &mut PatternSet) -> AtomId {
        let name = format!("{types:?} {expr:?}");
        if let Some(known) = self.names.iter().position(|n| *n == name) {
            return known as AtomId;
        }
        let mut condition = Condition { types, unary: SmallVec::new(), iterative: Vec::new() };
        let mut parts = Vec::new();
        if let Some(expr) = expr {
            expr.conjuncts(&mut |part| {
                if part.is_iterative() {
                    condition.iterative.push(part.clone());
                } else {
                    condition.unary.push(set.predicates.intern(part));
                    parts.push(part);
                }
            });
        }
        self.needs.push(Need::of(&parts, &set.tokens));
        self.all.push(condition);
        self.names.push(name);
        self.all.len() as AtomId - 1
    }
}

/// The expression with the schema's slots in place of the plan's field numbers.
fn resolved(expr: &Expr, slots: &[usize]) -> Expr {
    let list = |items: &[Expr]| items.iter().map(|e| resolved(e, slots)).collect::<Vec<_>>();
    let boxed = |e: &Expr| Box::new(resolved(e, slots));
    let attribute = |a: &Attribute| match a {
        Attribute::Field(field) => Attribute::Field(slots[*field]),
        other => other.clone(),
    };
    match expr {
        Expr::Const(value) => Expr::Const(value.clone()),
        Expr::This(a) => Expr::This(attribute(a)),
        Expr::Stage(stage, pick, a) => Expr::Stage(*stage, *pick, attribute(a)),
        Expr::Key(index) => Expr::Key(*index),
        Expr::Aggregate(kind, stage, a) => Expr::Aggregate(*kind, *stage, a.as_ref().map(attribute)),
        Expr::Call(function, args) => Expr::Call(*function, list(args)),
        Expr::Not(e) => Expr::Not(boxed(e)),
        Expr::Negate(e) => Expr::Negate(boxed(e)),
        Expr::Or(terms) => Expr::Or(list(terms)),
        Expr::And(terms) => Expr::And(list(terms)),
        Expr::Chain(first, rest) => {
            Expr::Chain(boxed(first), rest.iter().map(|(op, e)| (*op, resolved(e, slots))).collect())
        }
        Expr::Compare(left, op, right) => Expr::Compare(boxed(left), *op, boxed(right)),
        Expr::IsNull(e, negated) => Expr::IsNull(boxed(e), *negated),
        Expr::In(e, items, negated) => Expr::In(boxed(e), list(items), *negated),
        Expr::Between(e, low, high, negated) => Expr::Between(boxed(e), boxed(low), boxed(high), *negated),
        Expr::Matches(e, regex, negated) => Expr::Matches(boxed(e), regex.clone(), *negated),
    }
}

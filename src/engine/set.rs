//! The installed patterns: compiled once, immutable, shared by all shards. Fields, types, keys and predicates of all
//! patterns are numbered together here, so that an event is read and tested once for all of them.

use std::cell::RefCell;
use std::sync::Arc;

use smallvec::SmallVec;

use super::carried::Carries;
use super::condition::{Condition, Predicates, Types};
use super::gate::Gate;
use super::index::{Need, Tokens};
use super::matched::Labels;
use super::path::Surroundings;
use super::route::Routes;
use crate::event::key::KeyHasher;
use crate::event::record::StreamSettings;
use crate::event::{Block, FieldPath, Schema, TimeSpan, TypeId};
use crate::pattern::expr::{Attribute, Expr};
use crate::pattern::nfa::{self, Automaton, Storage};
use crate::pattern::plan::{Plan, Skip, Within};

/// The number of a condition within its pattern.
pub(crate) type AtomId = u32;

/// The version of every pattern: there is one of each name.
const VERSION: u64 = 1;

/// A set of patterns, ready to run.
#[derive(Debug, Clone)]
pub struct PatternSet {
    /// In the order in which they were added. A pattern keeps its number in every set that is made from this one, and
    /// so do fields, types, keys, predicates and shapes.
    pub(crate) patterns: Vec<Arc<Compiled>>,
    /// By pattern: its place in the order of (name, version), which is its place in outputs.
    pub(crate) ranks: Vec<u32>,
    /// The patterns' numbers in that order.
    by_rank: Vec<u32>,
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
    /// By type.
    gates: Vec<Gate>,
    schema: Schema,
    types: hashbrown::HashMap<String, TypeId, ahash::RandomState>,
    /// The number of a shape.
    shape_numbers: hashbrown::HashMap<Arc<Shape>, u32, ahash::RandomState>,
    type_field: FieldPath,
}

/// One pattern, ready to run.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    pub(crate) version: u64,
    /// The number of its shape.
    pub(crate) shape: u32,
    /// The number of its window's length.
    pub(crate) window: u32,
    pub(crate) within: Option<Within>,
    pub(crate) skip: Skip,
    pub(crate) emit_timeouts: bool,
    /// Names of the stages in the order of the text.
    pub(crate) stages: Vec<String>,
    /// The conditions, each once.
    pub(crate) atoms: Vec<Condition>,
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
    pub fn new(plans: Vec<Plan>, settings: &StreamSettings, streams: &[String]) -> PatternSet {
        let mut plans = plans;
        plans.sort_by(|a, b| a.name.cmp(&b.name));
        let mut set = PatternSet {
            patterns: Vec::new(),
            ranks: Vec::new(),
            by_rank: Vec::new(),
            shapes: Vec::new(),
            predicates: Predicates::default(),
            around: Surroundings { type_slot: None, streams: streams.to_vec() },
            routes: Routes::default(),
            tokens: Tokens::default(),
            kept_fields: 0,
            runs_only: false,
            windows: Vec::new(),
            gates: Vec::new(),
            schema: Schema::default(),
            types: hashbrown::HashMap::default(),
            shape_numbers: hashbrown::HashMap::default(),
            type_field: FieldPath::dotted(&settings.type_field),
        };
        plans.into_iter().for_each(|plan| set.add(plan));
        set.routes.finish();
        set.make_gates(|_| true);
        set
    }

    /// The set with one pattern more. It costs little, however many there are: nothing is compiled but the new one.
    pub fn with(&self, plan: Plan) -> PatternSet {
        let mut set = self.clone();
        set.add(plan);
        set.routes.finish();
        if let Some(new) = set.patterns.last().map(Arc::clone) {
            set.make_gates(|kind| new.sees_all || new.atoms.iter().any(|atom| atom.types.has(kind)));
        }
        set
    }

    /// Makes the gates of new types, and those of others anew.
    fn make_gates(&mut self, anew: impl Fn(TypeId) -> bool) {
        let kinds = TypeId::FIRST_NAMED + self.schema.types.len() as u32;
        for kind in (0..kinds).map(TypeId) {
            let known = self.gates.len() > kind.0 as usize;
            if !known {
                self.gates.push(Gate::new(kind, self));
            } else if anew(kind) {
                self.gates[kind.0 as usize] = Gate::new(kind, self);
            }
        }
    }

    /// Asks once for all shards what the events of a block say by themselves: which may concern some pattern, and, where
    /// several shards have to tell which are their own, the hashes of those events' keys. A block that was not prepared
    /// is as good, but each of its events is looked at.
    pub fn prepare(&self, block: &mut Block, hasher: Option<&KeyHasher>) {
        let keys = &self.schema.keys;
        let mut concerns = vec![0_u64; block.heads.len().div_ceil(64)];
        let mut hashes = vec![0; if hasher.is_some() { block.heads.len() * keys.len() } else { 0 }];
        let mut found = Vec::new();
        for row in 0..block.heads.len() {
            let event = block.row(row);
            // A type that only a later set names is like one that none names.
            let gate = self.gates.get(event.head.kind.0 as usize);
            let gate = gate.unwrap_or(&self.gates[TypeId::OTHER.0 as usize]);
            if !gate.passes(&event, self, &mut found) {
                continue;
            }
            concerns[row / 64] |= 1 << (row % 64);
            if let Some(hasher) = hasher {
                let into = hashes[row * keys.len()..].iter_mut();
                into.zip(keys).for_each(|(hash, key)| *hash = hasher.hash(&event, key));
            }
        }
        if hasher.is_some() {
            block.key_hashes = hashes;
            block.key_width = keys.len();
        }
        block.concerns = Some(concerns);
    }

    fn add(&mut self, plan: Plan) {
        if self.around.type_slot.is_none() && reads_type(&plan) {
            self.around.type_slot = Some(self.schema.field(&self.type_field));
        }
        let number = self.patterns.len() as u32;
        let is_before = |&known: &u32| {
            let known = &self.patterns[known as usize];
            (known.name.as_str(), known.version) < (plan.name.as_str(), VERSION)
        };
        let rank = self.by_rank.partition_point(is_before);
        self.by_rank[rank..].iter().for_each(|&known| self.ranks[known as usize] += 1);
        self.by_rank.insert(rank, number);
        self.ranks.push(rank as u32);
        let (pattern, needs) = Compiled::new(plan, self);
        let kept = pattern.kept_fields().into_iter().chain(self.schema.keys[pattern.key].iter().copied());
        let kept = kept.chain(self.around.type_slot).map(|slot| slot + 1).max().unwrap_or(0);
        self.kept_fields = self.kept_fields.max(kept);
        self.routes.add(number, &pattern, &needs);
        self.patterns.push(Arc::new(pattern));
    }

    /// The id of a type, whether it is new or not.
    fn type_id(&mut self, name: &str) -> TypeId {
        let next = TypeId(TypeId::FIRST_NAMED + self.schema.types.len() as u32);
        *self.types.entry_ref(name).or_insert_with(|| {
            self.schema.types.push(name.to_owned());
            next
        })
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

    /// The patterns' names, in the order in which they were added: those of a new set by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|p| p.name.as_str())
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
    fn new(plan: Plan, set: &mut PatternSet) -> (Compiled, Vec<Option<Need>>) {
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
        let compiled = Compiled {
            version: VERSION,
            labels: Labels::new(&plan, VERSION),
            window,
            within: plan.within,
            skip: plan.skip,
            emit_timeouts: plan.emit_timeouts,
            stages: plan.stages.into_iter().map(|s| s.name).collect(),
            streams: streams
                .iter()
                .map(|s| plan.streams.as_ref().is_none_or(|from| from.contains(s)))
                .collect(),
            select: plan.select.into_iter().map(|(name, e)| (name, resolved(&e, &slots))).collect(),
            name: plan.name,
            key: set.schema.key(&key_slots),
            carries: Carries::new(&automaton, &atoms.all),
            shape: set.shape(Shape { automaton, accept, until }),
            atoms: atoms.all,
            sees_all,
            storage,
        };
        (compiled, atoms.needs)
    }

    /// The slots that are read of events that partial matches or matches have accepted.
    fn kept_fields(&self) -> Vec<usize> {
        let conditions = self.atoms.iter().flat_map(|atom| &atom.iterative);
        let slots = RefCell::new(Vec::new());
        for expr in conditions.chain(self.select.iter().map(|(_, expr)| expr)) {
            expr.any(&|part| {
                if let Expr::Stage(_, _, Attribute::Field(slot))
                | Expr::Aggregate(_, _, Some(Attribute::Field(slot))) = part
                {
                    slots.borrow_mut().push(*slot);
                }
                false
            });
        }
        slots.into_inner()
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

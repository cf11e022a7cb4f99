//! The automaton as a table. A state says along which edges a partial match still waits; a cell says, for one
//! combination of true and false conditions, what becomes of it: nothing at run time walks a graph.
//!
//! States and cells are made when they are first needed. A path that several positions can account for is one partial
//! match in one state (its threads), so that the same match is never found twice.

use smallvec::SmallVec;

use super::set::{AtomId, Shape};
use crate::pattern::ast::LinkKind;
use crate::pattern::nfa::{Edge, PositionId, Target};
use crate::pattern::plan::StageId;

/// The number of a state within its table.
pub(crate) type StateId = u32;

/// No wait left.
pub(crate) const DEAD: StateId = 0;
/// Before the first event.
pub(crate) const START: StateId = 1;
/// The cell that changes nothing.
pub(crate) const NOTHING: u32 = 0;

/// States with up to this many conditions have all their cells in an array.
const DENSE: usize = 8;

/// What is waited for since one position accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Thread {
    pub(crate) position: PositionId,
    /// Whether no event has come since: strict links and `not next` look at the next one.
    pub(crate) fresh: bool,
    /// The position's edges that are still waited along.
    pub(crate) alive: Vec<u32>,
}

/// The thread before the first event stands at no position.
pub(crate) const BEGINNING: PositionId = PositionId::MAX;

#[derive(Debug)]
pub(crate) struct State {
    threads: Vec<Thread>,
    /// The conditions that its cells depend on.
    pub(crate) care: Vec<AtomId>,
    /// The same as a bit each, in a narrow table.
    pub(crate) mask: u64,
    cells: Cells,
    /// Whether it completes a match at its deadline.
    pub(crate) at_deadline: bool,
    /// Whether it waits for an event.
    pub(crate) waits: bool,
}

#[derive(Debug)]
enum Cells {
    Dense(Vec<u32>),
    Sparse(hashbrown::HashMap<Bits, u32, ahash::RandomState>),
}

/// Patterns with up to this many conditions have all their cells in one array as well.
const NARROW: usize = 6;

/// The conditions of a state that are true, in the order of its `care`.
pub(crate) type Bits = SmallVec<[u64; 2]>;

/// What an event does to a partial match.
#[derive(Debug)]
pub(crate) struct Cell {
    /// What the partial match still waits for.
    pub(crate) keep: StateId,
    /// The stages that take the event.
    pub(crate) takes: SmallVec<[Take; 2]>,
    /// Whether it completes the match without being part of it: the pattern ends with `not next`.
    pub(crate) completes: bool,
}

/// A stage that takes an event: a new partial match that goes one step further.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take {
    pub(crate) stage: StageId,
    pub(crate) next: StateId,
    pub(crate) complete: bool,
}

/// The states and cells of all patterns of one shape that one shard has met so far.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) states: Vec<State>,
    numbers: hashbrown::HashMap<Vec<Thread>, StateId, ahash::RandomState>,
    pub(crate) cells: Vec<Cell>,
    /// Where the patterns have few conditions: by state and all conditions that are true, the cell.
    narrow: Vec<u32>,
    /// How many conditions the patterns have.
    atoms: usize,
    /// How many states or cells there may be before those that no partial match is in are forgotten.
    limit: usize,
}

/// Where the limit begins; patterns as people write them have some dozens of states.
const LIMIT: usize = 50_000;

const UNKNOWN: u32 = u32::MAX;

impl Table {
    pub(crate) fn new(shape: &Shape) -> Table {
        let nothing = Cell { keep: DEAD, takes: SmallVec::new(), completes: false };
        let mut table = Table {
            states: Vec::new(),
            numbers: hashbrown::HashMap::default(),
            cells: vec![nothing],
            narrow: Vec::new(),
            atoms: shape.conditions(),
            limit: LIMIT,
        };
        table.state(shape, Vec::new());
        let alive = (0..shape.automaton.start.len() as u32).collect();
        table.state(shape, vec![Thread { position: BEGINNING, fresh: false, alive }]);
        table
    }

    /// Whether there are more states or cells than a table should have.
    pub(crate) fn is_full(&self) -> bool {
        self.states.len().max(self.cells.len()) > self.limit
    }

    /// Begins anew with only the states that `states` gives, and tells it their new numbers. They are few in patterns
    /// as people write them; in others this bounds the table by what partial matches really need.
    pub(crate) fn rebuild<'s>(&mut self, shape: &Shape, states: impl Iterator<Item = &'s mut StateId>) {
        let old = std::mem::replace(self, Table::new(shape));
        for state in states {
            *state = self.state(shape, old.states[*state as usize].threads.clone());
        }
        self.limit = LIMIT.max(self.states.len() * 2);
    }

    /// What a state waits for: it means the same in every table of the pattern.
    pub(crate) fn threads(&self, state: StateId) -> &[Thread] {
        &self.states[state as usize].threads
    }

    /// The state that waits for this; none if the pattern has no such waits.
    pub(crate) fn restore(&mut self, shape: &Shape, threads: Vec<Thread>) -> Option<StateId> {
        let exists = |thread: &Thread| {
            let position = shape.automaton.positions.get(thread.position as usize);
            position.is_some_and(|p| thread.alive.iter().all(|&edge| (edge as usize) < p.edges.len()))
        };
        threads.iter().all(exists).then(|| self.state(shape, threads))
    }

    /// The cell of a state for the given conditions.
    #[inline]
    pub(crate) fn cell(&mut self, shape: &Shape, state: StateId, bits: &Bits) -> u32 {
        let known = match &self.states[state as usize].cells {
            Cells::Dense(cells) => cells[bits.first().copied().unwrap_or(0) as usize],
            Cells::Sparse(cells) => cells.get(bits).copied().unwrap_or(UNKNOWN),
        };
        if known != UNKNOWN { known } else { self.make_cell(shape, state, bits) }
    }

    /// Whether the pattern has so few conditions that one number says which are true.
    #[inline]
    pub(crate) fn is_narrow(&self) -> bool {
        self.atoms <= NARROW
    }

    /// Whether it is known that no partial match begins where these conditions may be true, of which some depend on the
    /// partial match.
    #[inline]
    pub(crate) fn begins_nothing(&self, conditions: u64, iterative: u64) -> bool {
        let truths = conditions & self.states[START as usize].mask;
        let place = (START as usize) << self.atoms | truths as usize;
        self.is_narrow() && truths & iterative == 0 && self.narrow.get(place) == Some(&NOTHING)
    }

    /// The cell of a state of a narrow table: a bit for each condition of the pattern says which are true.
    #[inline]
    pub(crate) fn narrow_cell(&mut self, shape: &Shape, state: StateId, truths: u64) -> u32 {
        let place = (state as usize) << self.atoms | truths as usize;
        match self.narrow.get(place) {
            Some(&known) if known != UNKNOWN => known,
            _ => self.make_narrow_cell(shape, state, truths),
        }
    }

    #[cold]
    fn make_narrow_cell(&mut self, shape: &Shape, state: StateId, truths: u64) -> u32 {
        let care = &self.states[state as usize].care;
        let bits = (0..).zip(care).map(|(i, &atom)| (truths >> atom & 1) << i).sum::<u64>();
        let number = self.cell(shape, state, &Bits::from_slice(&[bits]));
        let place = (state as usize) << self.atoms | truths as usize;
        self.narrow.resize(self.narrow.len().max(self.states.len() << self.atoms), UNKNOWN);
        self.narrow[place] = number;
        number
    }

    #[cold]
    fn make_cell(&mut self, shape: &Shape, state: StateId, bits: &Bits) -> u32 {
        let cell = self.transition(shape, state, bits);
        let number = if cell.keep == state && cell.takes.is_empty() && !cell.completes {
            NOTHING
        } else {
            self.cells.push(cell);
            self.cells.len() as u32 - 1
        };
        match &mut self.states[state as usize].cells {
            Cells::Dense(cells) => cells[bits.first().copied().unwrap_or(0) as usize] = number,
            Cells::Sparse(cells) => {
                cells.insert(bits.clone(), number);
            }
        }
        number
    }

    /// The rules of language.md, "How a pattern matches", for one event.
    fn transition(&mut self, shape: &Shape, state: StateId, bits: &Bits) -> Cell {
        let from = &self.states[state as usize];
        let is_true = |atom: AtomId| {
            let place = from.care.binary_search(&atom);
            place.is_ok_and(|i| bits.get(i / 64).is_some_and(|word| word >> (i % 64) & 1 == 1))
        };
        let accepts = |stage: StageId| is_true(shape.accept[stage]);
        let stopped = |stage: StageId| shape.until[stage].is_some_and(is_true);
        let yields = |edge: &Edge| edge.yields_to.iter().any(|&s| accepts(s) && !stopped(s));

        let mut kept: Vec<Thread> = Vec::new();
        let mut taken: Vec<(StageId, Vec<PositionId>, bool)> = Vec::new();
        let mut completes = false;
        for thread in &from.threads {
            let edges = edges_of(shape, thread.position);
            let alive = || thread.alive.iter().map(|&e| (e, &edges[e as usize]));
            // What `not next` excludes ends everything; greedy loops hide their own events from it.
            if thread.fresh && alive().any(|(_, e)| !yields(e) && e.not_next.iter().any(|&s| accepts(s))) {
                continue;
            }
            // What `not followed by` excludes ends everything but a match that is complete with this event. A negation
            // holds until the next accepted event, also when the wait that it stands before has ended.
            let excluded = edges.iter().any(|e| e.not_followed.iter().any(|&s| accepts(s)));
            let mut still = Vec::new();
            for (number, edge) in alive() {
                if yields(edge) {
                    continue;
                }
                let stays = match edge.target {
                    Target::NextEvent => {
                        completes |= !excluded;
                        false
                    }
                    Target::Deadline => true,
                    Target::Position(position) => {
                        let target = &shape.automaton.positions[position as usize];
                        let (accepted, stopped) = (accepts(target.stage), stopped(target.stage));
                        if accepted && !stopped {
                            let at = match taken.iter().position(|(stage, ..)| *stage == target.stage) {
                                Some(at) => at,
                                None => {
                                    taken.push((target.stage, Vec::new(), false));
                                    taken.len() - 1
                                }
                            };
                            taken[at].2 |= target.accepting;
                            if !excluded {
                                taken[at].1.push(position);
                            }
                            edge.link == LinkKind::FollowedByAny
                        } else if stopped && edge.in_loop {
                            false
                        } else {
                            match edge.link {
                                LinkKind::Next => false,
                                LinkKind::FollowedByAny => true,
                                _ => !(accepted && stopped),
                            }
                        }
                    }
                };
                if stays {
                    still.push(number);
                }
            }
            if !excluded && !still.is_empty() {
                kept.push(Thread { position: thread.position, fresh: false, alive: still });
            }
        }
        let keep = if state == START { START } else { self.state(shape, kept) };
        let mut takes = SmallVec::new();
        for (stage, positions, complete) in taken {
            let threads = positions.into_iter().map(|position| begin(shape, position)).collect();
            let next = self.state(shape, threads);
            if next != DEAD || complete {
                takes.push(Take { stage, next, complete });
            }
        }
        Cell { keep, takes, completes }
    }

    /// The number of a state.
    fn state(&mut self, shape: &Shape, mut threads: Vec<Thread>) -> StateId {
        threads.retain(|t| !t.alive.is_empty());
        threads.sort();
        threads.dedup();
        if let Some(&number) = self.numbers.get(&threads) {
            return number;
        }
        let edges = |t: &Thread| edges_of(shape, t.position);
        let alive = || threads.iter().flat_map(|t| t.alive.iter().map(|&e| &edges(t)[e as usize]));
        let mut stages: Vec<StageId> = Vec::new();
        stages.extend(threads.iter().flat_map(edges).flat_map(|e| &e.not_followed));
        for edge in alive() {
            stages.extend(edge.yields_to.iter().chain(&edge.not_next));
            if let Target::Position(position) = edge.target {
                stages.push(shape.automaton.positions[position as usize].stage);
            }
        }
        let atoms = |&stage: &StageId| [Some(shape.accept[stage]), shape.until[stage]].into_iter().flatten();
        let mut care: Vec<AtomId> = stages.iter().flat_map(atoms).collect();
        care.sort_unstable();
        care.dedup();
        let cells = if care.len() <= DENSE {
            Cells::Dense(vec![UNKNOWN; 1 << care.len()])
        } else {
            Cells::Sparse(hashbrown::HashMap::default())
        };
        let at_deadline = alive().any(|e| e.target == Target::Deadline);
        let waits = alive().any(|e| e.target != Target::Deadline);
        let number = self.states.len() as StateId;
        self.numbers.insert(threads.clone(), number);
        let mask = care.iter().filter(|&&atom| atom < 64).map(|atom| 1 << atom).sum();
        self.states.push(State { threads, care, mask, cells, at_deadline, waits });
        number
    }
}

/// All waits of a position, right after it accepted.
fn begin(shape: &Shape, position: PositionId) -> Thread {
    let edges = edges_of(shape, position);
    let strict =
        |e: &Edge| e.link == LinkKind::Next || !e.not_next.is_empty() || e.target == Target::NextEvent;
    Thread { position, fresh: edges.iter().any(strict), alive: (0..edges.len() as u32).collect() }
}

fn edges_of(shape: &Shape, position: PositionId) -> &[Edge] {
    if position == BEGINNING {
        return &shape.automaton.start;
    }
    &shape.automaton.positions[position as usize].edges
}

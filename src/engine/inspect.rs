//! Looking into a shard: what the keys of a pattern hold, without changing anything. What can be very much (the keys
//! themselves, partial matches that are held as sets) is given in parts.

use std::ops::Range;

use super::life::Life;
use super::saved::{hash_of_name, put_name};
use super::set::{Compiled, PatternSet};
use super::shard::Engine;
use super::store::Store;
use super::table::{BEGINNING, StateId, Table};
use crate::event::{Fields, Head, Position, Row, Slot, Timestamp, TypeId, Value};
use crate::pattern::ast::LinkKind;
use crate::pattern::nfa::Target;
use crate::pattern::plan::{Plan, StageId};

/// What one version of a pattern holds of one key.
#[derive(Debug, Clone)]
pub struct HeldKey {
    /// What names the key: equal where keys are the same.
    pub name: Vec<u8>,
    /// The key's fields and their values.
    pub key: Vec<(String, Value<'static>)>,
    /// The pattern.
    pub pattern: String,
    /// Its version.
    pub version: u64,
    /// How many partial matches there are, complete ones that wait included; `u64::MAX` where there are more.
    pub count: u64,
    /// When the first of them began.
    pub since: Timestamp,
    /// When the next window closes.
    pub deadline: Option<Timestamp>,
    /// Those that were asked for.
    pub items: Vec<PartialMatch>,
}

/// A partial match.
#[derive(Debug, Clone)]
pub struct PartialMatch {
    /// The time of its first event.
    pub since: Timestamp,
    /// When its window closes.
    pub deadline: Option<Timestamp>,
    /// Whether it is complete, and waits until nothing that began earlier can become a match.
    pub is_complete: bool,
    /// What it waits for: any of these.
    pub waits: Vec<Wait>,
    /// Its events in the order in which they were accepted.
    pub events: Vec<HeldEvent>,
    /// How many more events it has: they did not fit.
    pub omitted: usize,
}

/// An event of a partial match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldEvent {
    /// The stage that took it.
    pub stage: StageId,
    /// Its stream.
    pub stream: String,
    /// Where it stands.
    pub position: Position,
    /// Its time.
    pub time: Timestamp,
    /// The JSON object as it came.
    pub json: String,
}

/// Something that a partial match waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// An event that this stage takes; and whether the stage has taken one already.
    Stage(StageId, bool),
    /// The very next event, whatever it is.
    NextEvent,
    /// The end of the window.
    Deadline,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// For what.
    pub awaited: Awaited,
    /// By which link.
    pub link: LinkKind,
    /// The stages that no event may be meanwhile, and that the very next one must not be.
    pub unless: Vec<StageId>,
}

/// Which partial matches of a key are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// How many are left out.
    pub skip: u64,
    /// How many at most.
    pub take: usize,
    /// How many bytes of events at most, about.
    pub bytes: usize,
}

/// Of a pattern's keys about one in `of`: those whose hash falls to it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Which one, from 0.
    pub number: u32,
    /// How many parts there are; at least 1.
    pub of: u32,
}

/// How much some keys of a pattern hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many keys.
    pub keys: u64,
    /// Partial matches.
    pub partial_matches: u64,
    /// Events that they hold.
    pub events: u64,
    /// Bytes of their states, as a checkpoint has them.
    pub bytes: u64,
}

/// The keys of one pattern in one shard, as they are looked at.
pub(crate) trait Inspect {
    /// Gives the keys whose hashes are wanted.
    fn each(&self, store: &Store, wanted: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View));

    /// Gives the key of this hash of which some event is its.
    fn find(&self, store: &Store, hash: u32, is_its: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View));
}

/// What a key holds, whichever way.
pub(crate) trait View {
    /// Some event that it holds.
    fn event(&self) -> u32;

    /// All of it as bytes.
    fn encoded(&self, table: &Table) -> Vec<u8>;

    /// The states that partial matches are in, with how many; `WAITING` for complete ones.
    fn states(&self) -> Vec<(StateId, u64)>;

    /// Some of those in one of these states, which is meant by its place: as (kept event, stage). Their order depends on
    /// nothing but their events.
    fn paths(&self, place: usize, range: Range<u64>) -> Vec<Vec<(u32, u32)>>;

    /// The first events of partial matches, each once at least; with the last ones, which windows may be counted from,
    /// but for complete ones.
    fn ends(&self, give: &mut dyn FnMut(u32, Option<u32>));
}

impl Engine {
    /// The versions of a pattern that are there, by number.
    pub fn versions(&self, name: &str) -> impl Iterator<Item = (u32, u64)> {
        let set = self.set();
        let named = set.by_rank[set.rank(name, 0)..].iter().map(|&number| (number, compiled(set, number)));
        named
            .take_while(move |(_, known)| known.plan.name == name)
            .map(|(number, known)| (number, known.version))
    }

    /// All versions of all patterns that are there, by name and version.
    pub fn patterns(&self) -> impl Iterator<Item = u32> {
        self.set().by_rank.iter().copied()
    }

    /// The plan of a pattern.
    pub fn plan(&self, pattern: u32) -> &Plan {
        &compiled(self.set(), pattern).plan
    }

    /// What a pattern holds of a key, if something, in this shard.
    pub fn held_of(&self, pattern: u32, name: &[u8], page: Page) -> Option<HeldKey> {
        let known = self.set().patterns.get(pattern as usize).filter(|known| known.life != Life::Removed)?;
        let slots = &self.set().schema().keys[known.key];
        let hash = hash_of_name(name, slots.len(), self.hasher()).ok()?;
        let is_its = |event: u32| name_of(&self.store().row(event), slots) == name;
        let mut held = None;
        let mut look = |view: &dyn View| held = Some(self.looked_at(pattern, name, view, page));
        self.inspected(pattern).find(self.store(), hash as u32, &is_its, &mut look);
        held
    }

    /// The names of a part of a pattern's keys, in no order that means anything.
    pub fn key_names(&self, pattern: u32, part: Part, mut give: impl FnMut(Vec<u8>)) {
        let slots = &self.set().schema().keys[compiled(self.set(), pattern).key];
        let wanted = |hash: u32| hash % part.of.max(1) == part.number;
        self.inspected(pattern).each(self.store(), &wanted, &mut |view| {
            give(name_of(&self.store().row(view.event()), slots));
        });
    }

    /// How much about so many keys of a pattern hold; all of them where there are no more.
    pub fn weight(&self, pattern: u32, keys: usize) -> Weight {
        let of = (self.keys_of(pattern) / keys.max(1)) as u32 + 1;
        let table = self.table(pattern);
        let mut weight = Weight::default();
        self.inspected(pattern).each(self.store(), &|hash| hash % of == 0, &mut |view| {
            let bytes = view.encoded(table);
            weight.keys += 1;
            weight.bytes += bytes.len() as u64;
            // Behind the version stands how many events there are.
            weight.events += super::saved::events_of(&bytes);
            let all = view.states().into_iter().map(|(_, count)| count);
            weight.partial_matches = all.fold(weight.partial_matches, u64::saturating_add);
        });
        weight
    }

    fn looked_at(&self, pattern: u32, name: &[u8], view: &dyn View, page: Page) -> HeldKey {
        let (set, store, table) = (self.set(), self.store(), self.table(pattern));
        let known = compiled(set, pattern);
        let row = store.row(view.event());
        let slots = &set.schema().keys[known.key];
        let values = slots.iter().map(|&slot| row.value(slot).into_owned());
        let deadline = |first: u32, last: u32| {
            let of = |within: crate::pattern::plan::Within| {
                store.time(if within.between_events { last } else { first }).plus(within.span)
            };
            known.within.map(of)
        };
        let (mut since, mut next) = (Timestamp::MAX, None::<Timestamp>);
        view.ends(&mut |first, last| {
            since = since.min(store.time(first));
            if let Some(at) = last.and_then(|last| deadline(first, last)) {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        });
        let states = view.states();
        let mut held = HeldKey {
            name: name.to_vec(),
            key: known.plan.key.iter().map(ToString::to_string).zip(values).collect(),
            pattern: known.plan.name.clone(),
            version: known.version,
            count: states.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count)),
            since,
            deadline: next,
            items: Vec::new(),
        };
        // The number of a state says nothing outside: what it waits for does.
        let mut places: Vec<usize> = (0..states.len()).collect();
        places.sort_by_key(|&place| threads(table, states[place].0));
        let (mut skip, mut bytes) = (page.skip, page.bytes);
        for place in places {
            let (state, count) = states[place];
            let left = page.take - held.items.len();
            if skip >= count || left == 0 {
                skip = skip.saturating_sub(count);
                continue;
            }
            let waits = self.waits(known, table, state);
            for path in view.paths(place, skip..skip.saturating_add(left as u64)) {
                if bytes == 0 {
                    return held;
                }
                let (first, last) =
                    (path.first().map_or(0, |step| step.0), path.last().map_or(0, |step| step.0));
                let is_complete = threads(table, state).is_none();
                let mut item = PartialMatch {
                    since: store.time(first),
                    deadline: deadline(first, last).filter(|_| !is_complete),
                    is_complete,
                    waits: waits.clone(),
                    events: Vec::new(),
                    omitted: 0,
                };
                for &(event, stage) in &path {
                    if bytes == 0 {
                        item.omitted += 1;
                        continue;
                    }
                    let event = self.event_of(event, stage);
                    bytes = bytes.saturating_sub(event.json.len().max(1));
                    item.events.push(event);
                }
                held.items.push(item);
            }
            skip = 0;
        }
        held
    }

    fn event_of(&self, event: u32, stage: u32) -> HeldEvent {
        let row = self.store().row(event);
        let position = row.position();
        let streams = &self.set().around.streams;
        HeldEvent {
            stage: stage as usize,
            stream: streams.get(position.stream as usize).cloned().unwrap_or_default(),
            position,
            time: row.time(),
            json: String::from_utf8_lossy(&row.object().concat()).into_owned(),
        }
    }

    /// What a state waits for, each once.
    fn waits(&self, known: &Compiled, table: &Table, state: StateId) -> Vec<Wait> {
        let automaton = &self.set().shapes[known.shape as usize].automaton;
        let mut waits: Vec<Wait> = Vec::new();
        for thread in threads(table, state).unwrap_or_default() {
            let edges = match thread.position {
                BEGINNING => &automaton.start,
                at => &automaton.positions[at as usize].edges,
            };
            for edge in thread.alive.iter().filter_map(|&edge| edges.get(edge as usize)) {
                let awaited = match edge.target {
                    Target::Position(at) => {
                        Awaited::Stage(automaton.positions[at as usize].stage, edge.in_loop)
                    }
                    Target::NextEvent => Awaited::NextEvent,
                    Target::Deadline => Awaited::Deadline,
                };
                let next = edge.not_next.iter().filter(|_| thread.fresh);
                let mut unless: Vec<StageId> = edge.not_followed.iter().chain(next).copied().collect();
                unless.sort_unstable();
                let wait = Wait { awaited, link: edge.link, unless };
                if !waits.contains(&wait) {
                    waits.push(wait);
                }
            }
        }
        waits.sort_by_key(|wait| wait.awaited);
        waits
    }
}

fn compiled(set: &PatternSet, pattern: u32) -> &Compiled {
    &set.patterns[pattern as usize]
}

/// What a state waits for; nothing that is complete waits for anything.
fn threads(table: &Table, state: StateId) -> Option<&[super::table::Thread]> {
    (state != super::key_state::WAITING).then(|| table.threads(state))
}

fn name_of<'a>(row: &impl Fields<'a>, slots: &[usize]) -> Vec<u8> {
    let mut name = Vec::new();
    put_name(row, slots, &mut name);
    name
}

/// What names the key with these values; none where some of them is no key's.
pub fn name_of_key(values: &[Value<'_>]) -> Option<Vec<u8>> {
    let mut text = String::new();
    let mut slots = Vec::with_capacity(values.len());
    for value in values {
        slots.push(match value {
            Value::Bool(value) => Slot::Bool(*value),
            Value::Int(value) => Slot::Int(*value),
            Value::UInt(value) => Slot::UInt(*value),
            Value::Float(value) => Slot::Float(*value),
            Value::Str(value) => {
                let at = text.len() as u32;
                text.push_str(value);
                Slot::Str { at, len: value.len() as u32 }
            }
            Value::Null | Value::Time(_) | Value::Duration(_) | Value::Json(_) => return None,
        });
    }
    let position = Position { stream: 0, partition: 0, offset: 0 };
    let head = Head { time: Timestamp::MIN, position, kind: TypeId::NONE, raw: 0..0 };
    let row = Row { head: &head, text: &text, unescaped: "", slots: &slots };
    Some(name_of(&row, &(0..slots.len()).collect::<Vec<usize>>()))
}

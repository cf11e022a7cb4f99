//! What expressions see: the event being tested alone, or with the events of a partial match, or (in `select`) the
//! events of a match.

use std::borrow::Cow;
use std::cell::Cell;

use super::carried::Carries;
use super::kept::KeptRow;
use super::store::{NONE, Store};
use crate::event::{Fields, Row, Value};
use crate::pattern::eval::{self, Env, Scalar, Sum};
use crate::pattern::expr::{Aggregate, Attribute, Pick};
use crate::pattern::plan::StageId;

/// What rows do not say themselves: the slot that holds the type, and the streams' names.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) type_slot: Option<usize>,
    pub(crate) streams: Vec<String>,
}

impl Surroundings {
    fn scalar<'a>(&'a self, row: &impl Fields<'a>, attribute: &Attribute) -> Scalar {
        match attribute {
            Attribute::Field(slot) => Scalar::from(&row.slot(*slot)),
            other => Scalar::from(&self.read(row, other)),
        }
    }

    pub(super) fn read<'a>(&'a self, row: &impl Fields<'a>, attribute: &Attribute) -> Value<'a> {
        match attribute {
            Attribute::Field(slot) => row.value(*slot),
            Attribute::Time => Value::Time(row.time().0),
            Attribute::Type => match self.type_slot.map(|slot| row.value(slot)) {
                Some(text @ Value::Str(_)) => text,
                _ => Value::Null,
            },
            Attribute::Stream => match self.streams.get(row.position().stream as usize) {
                Some(name) => Value::Str(Cow::Borrowed(name)),
                None => Value::Null,
            },
            Attribute::Partition => Value::Int(i64::from(row.position().partition)),
            Attribute::Offset => i64::try_from(row.position().offset).map_or(Value::Null, Value::Int),
            // Files have neither record keys nor headers.
            Attribute::RecordKey | Attribute::Header(_) => Value::Null,
        }
    }
}

/// Sees the event being tested alone.
pub(crate) struct Unary<'a> {
    pub(crate) row: &'a Row<'a>,
    pub(crate) around: &'a Surroundings,
    pub(crate) type_errors: &'a Cell<u64>,
}

impl<'a> Env<'a> for Unary<'a> {
    fn this(&self, attribute: &Attribute) -> Value<'a> {
        self.around.read(self.row, attribute)
    }
    fn this_scalar(&self, attribute: &Attribute) -> Scalar {
        self.around.scalar(self.row, attribute)
    }
    fn pick(&self, _: StageId, _: Pick, _: &Attribute) -> Value<'a> {
        Value::Null
    }
    fn count(&self, _: StageId) -> usize {
        0
    }
    fn each(&self, _: StageId, _: &Attribute, _: &mut dyn FnMut(Value<'a>)) {}
    fn key(&self, _: usize) -> Value<'a> {
        Value::Null
    }
    fn type_error(&self) {
        self.type_errors.set(self.type_errors.get() + 1);
    }
}

/// Sees the event being tested and the events of a path.
pub(crate) struct Iterative<'a> {
    pub(crate) tested: Unary<'a>,
    pub(crate) store: &'a Store,
    /// The last step of the path; `NONE` at its beginning.
    pub(crate) node: u32,
    /// What can be told without a walk along the path.
    pub(crate) carries: &'a Carries,
}

impl<'a> Iterative<'a> {
    /// The stage's events, from the last one back.
    fn backwards(&self, stage: StageId) -> impl Iterator<Item = u32> + use<'a> {
        let store = self.store;
        let mut node = self.node;
        std::iter::from_fn(move || {
            if node == NONE {
                return None;
            }
            let step = store.nodes[node];
            node = store.before(node);
            Some(step)
        })
        .filter(move |step| step.stage as usize == stage)
        .map(|step| step.event)
    }

    fn picked(&self, stage: StageId, pick: Pick) -> Option<u32> {
        if let Ok(event) = self.carries.pick(self.store, self.node, stage, pick) {
            return event;
        }
        match pick {
            Pick::Last => self.backwards(stage).next(),
            Pick::Index(index) if index < 0 => index
                .checked_neg()
                .and_then(|back| self.backwards(stage).nth(usize::try_from(back - 1).ok()?)),
            Pick::Index(index) => {
                let back = usize::try_from(index)
                    .ok()
                    .and_then(|i| self.backwards(stage).count().checked_sub(i.saturating_add(1)));
                back.and_then(|back| self.backwards(stage).nth(back))
            }
        }
    }
}

impl<'a> Env<'a> for Iterative<'a> {
    fn this(&self, attribute: &Attribute) -> Value<'a> {
        self.tested.this(attribute)
    }
    fn this_scalar(&self, attribute: &Attribute) -> Scalar {
        self.tested.this_scalar(attribute)
    }
    fn pick(&self, stage: StageId, pick: Pick, attribute: &Attribute) -> Value<'a> {
        let event = self.picked(stage, pick);
        event.map_or(Value::Null, |event| self.tested.around.read(&self.store.row(event), attribute))
    }
    fn pick_scalar(&self, stage: StageId, pick: Pick, attribute: &Attribute) -> Scalar {
        let event = self.picked(stage, pick);
        event.map_or(Scalar::Null, |event| self.tested.around.scalar(&self.store.row(event), attribute))
    }
    fn count(&self, stage: StageId) -> usize {
        let carried = self.carries.count(self.store, self.node, stage);
        carried.unwrap_or_else(|| self.backwards(stage).count())
    }
    fn each(&self, stage: StageId, attribute: &Attribute, with: &mut dyn FnMut(Value<'a>)) {
        let mut events: smallvec::SmallVec<[u32; 16]> = self.backwards(stage).collect();
        events.reverse();
        for event in events {
            with(self.tested.around.read(&self.store.row(event), attribute));
        }
    }
    fn sum(&self, stage: StageId, attribute: &Attribute) -> Sum {
        let carried = self.carries.sum(self.store, self.node, stage, attribute);
        carried.unwrap_or_else(|| eval::sum_of_each(self, stage, attribute))
    }
    fn extreme(&self, aggregate: Aggregate, stage: StageId, attribute: &Attribute) -> Option<Value<'a>> {
        match self.carries.extreme(self.store, self.node, aggregate, stage, attribute) {
            Some(Ok(NONE)) => Some(Value::Null),
            Some(Ok(event)) => Some(self.tested.around.read(&self.store.row(event), attribute)),
            Some(Err(())) => None,
            None => eval::extreme_of_each(self, aggregate, stage, attribute),
        }
    }
    fn key(&self, _: usize) -> Value<'a> {
        Value::Null
    }
    fn type_error(&self) {
        self.tested.type_error();
    }
}

/// Sees the events of a match, as (kept event, stage) in order of acceptance, and its key.
pub(crate) struct Selected<'a> {
    pub(crate) path: &'a [(u32, u32)],
    pub(crate) store: &'a Store,
    pub(crate) around: &'a Surroundings,
    /// The slots of the key's fields.
    pub(crate) key: &'a [usize],
}

impl<'a> Selected<'a> {
    pub(crate) fn events(&self, stage: StageId) -> impl DoubleEndedIterator<Item = KeptRow<'a>> + use<'a> {
        let store = self.store;
        self.path.iter().filter(move |(_, s)| *s as usize == stage).map(move |(event, _)| store.row(*event))
    }
}

impl<'a> Env<'a> for Selected<'a> {
    fn this(&self, _: &Attribute) -> Value<'a> {
        Value::Null
    }
    fn pick(&self, stage: StageId, pick: Pick, attribute: &Attribute) -> Value<'a> {
        let row = match pick {
            Pick::Last => self.events(stage).next_back(),
            Pick::Index(index) if index < 0 => index
                .checked_neg()
                .and_then(|back| self.events(stage).rev().nth(usize::try_from(back - 1).ok()?)),
            Pick::Index(index) => usize::try_from(index).ok().and_then(|i| self.events(stage).nth(i)),
        };
        row.map_or(Value::Null, |row| self.around.read(&row, attribute))
    }
    fn count(&self, stage: StageId) -> usize {
        self.events(stage).count()
    }
    fn each(&self, stage: StageId, attribute: &Attribute, with: &mut dyn FnMut(Value<'a>)) {
        for row in self.events(stage) {
            with(self.around.read(&row, attribute));
        }
    }
    fn key(&self, index: usize) -> Value<'a> {
        match (self.path.first(), self.key.get(index)) {
            (Some((event, _)), Some(slot)) => self.store.row(*event).value(*slot),
            _ => Value::Null,
        }
    }
    fn type_error(&self) {}
}

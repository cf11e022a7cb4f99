//! What is taken from an event: the fields that some pattern needs, each with its slot, the types that patterns name,
//! and the key specifications by which patterns divide the stream.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TypeId;

/// One step of a field's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Segment {
    /// A member of an object.
    Name(String),
    /// An element of an array: from 0, or from the end where negative.
    Index(i64),
}

/// A field: `device.os`, `items[0].price`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FieldPath(pub Vec<Segment>);

impl FieldPath {
    /// The path that a setting like `--time-field meta.ts` names: dots part the members' names.
    pub fn dotted(text: &str) -> FieldPath {
        FieldPath(text.split('.').map(|s| Segment::Name(s.to_owned())).collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Name(name) if i == 0 => f.write_str(name)?,
                Segment::Name(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The fields, types and keys that a set of patterns needs. Built once for a set; slots and type ids point into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// The fields to project; a field's slot is its index.
    pub fields: Vec<FieldPath>,
    /// The types that patterns name; a type's id is `TypeId::FIRST_NAMED` more than its index.
    pub types: Vec<Arc<str>>,
    /// Key specifications: the slots of each pattern's key fields, without repetition. The empty one is the key of
    /// patterns without `key by`.
    pub keys: Vec<Vec<usize>>,
}

impl Schema {
    /// The slot of a field, added if it is new.
    pub fn field(&mut self, path: &FieldPath) -> usize {
        if let Some(slot) = self.fields.iter().position(|f| f == path) {
            return slot;
        }
        self.fields.push(path.clone());
        self.fields.len() - 1
    }

    /// The index of a key specification, added if it is new.
    pub fn key(&mut self, slots: &[usize]) -> usize {
        if let Some(key) = self.keys.iter().position(|k| k == slots) {
            return key;
        }
        self.keys.push(slots.to_vec());
        self.keys.len() - 1
    }

    /// The id of a type by its name.
    pub fn type_id(&self, name: &str) -> TypeId {
        match self.types.iter().position(|known| **known == *name) {
            Some(index) => TypeId(TypeId::FIRST_NAMED + index as u32),
            None => TypeId::OTHER,
        }
    }
}

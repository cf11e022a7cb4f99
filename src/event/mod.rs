//! The ground: what an event is. Values, times, positions, rows of a block, and how one is read from JSON.

pub mod decode;
mod id;
pub mod key;
pub mod position;
pub mod record;
pub mod schema;
pub mod time;
pub mod value;

pub use id::EventId;
pub use position::Position;
pub use record::{Batch, Block, Fields, Head, Row, Slot, TypeId};
pub use schema::{FieldPath, Schema, Segment};
pub use time::{TimeSpan, Timestamp};
pub use value::Value;

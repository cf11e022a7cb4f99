//! What no pattern sees: late events and lines that are no events, as values that know their place in the output.

use std::sync::Arc;

use crate::event::decode::DeadLetter;
use crate::event::{Block, Timestamp};

/// A late event or a dead letter.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The partition's watermark at this line; none before its first event.
    pub reached: Option<Timestamp>,
    /// The last decision about its partition that held at this line.
    pub since: u64,
    /// The rank of the partition's stream.
    pub stream: u32,
    /// The partition's number.
    pub partition: u32,
    /// The line's number in its partition.
    pub offset: u64,
    /// What it is.
    pub kind: RejectedKind,
}

/// What is rejected.
#[derive(Debug, Clone)]
pub enum RejectedKind {
    /// A late event.
    Late {
        /// The block that holds it.
        block: Arc<Block>,
        /// Its row there.
        row: u32,
        /// Its partition's watermark when it came.
        watermark: Timestamp,
    },
    /// A line that is no event.
    Dead(DeadLetter),
}

impl Rejected {
    /// By this they leave. That a partition which was silent comes behind those that were not, even where its number is
    /// lower, is why nobody has to wait for one that is.
    pub(super) fn order(&self) -> (Option<Timestamp>, u64, u32, u32, u64) {
        (self.reached, self.since, self.partition, self.stream, self.offset)
    }

    /// Appends it as one JSON object, without a line break.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.kind {
            RejectedKind::Dead(letter) => letter.write_json(self.partition, out),
            RejectedKind::Late { block, row, watermark } => {
                let (partition, offset, watermark) = (self.partition, self.offset, watermark.0);
                let start = format!(
                    "{{\"reason\":\"late\",\"partition\":{partition},\"offset\":{offset},\"watermark\":{watermark},\"event\":"
                );
                out.extend_from_slice(start.as_bytes());
                let event = block.row(*row as usize).raw().bytes();
                out.extend(event.map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
                out.push(b'}');
            }
        }
    }
}

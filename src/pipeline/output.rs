//! What shards put out, and the one order that it is written in.

use std::io::{self, Write};

use crate::engine::{MatchSink, MatchView, Order};

/// What one shard found in one batch: lines, and the order of each.
#[derive(Debug, Default)]
pub(super) struct Found {
    bytes: Vec<u8>,
    /// The order of each line, and where it ends.
    lines: Vec<(Order, usize)>,
}

impl MatchSink for Found {
    fn take(&mut self, order: Order, found: &MatchView<'_>) {
        found.write_json(&mut self.bytes);
        self.bytes.push(b'\n');
        self.lines.push((order, self.bytes.len()));
    }
}

impl Found {
    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Forgets what was found and keeps the room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }

    fn line(&self, index: usize) -> &[u8] {
        let from = index.checked_sub(1).map_or(0, |before| self.lines[before].1);
        &self.bytes[from..self.lines[index].1]
    }
}

/// Writes what the shards found in one batch in the total order, and tells how many lines that were. Lines of equal
/// order come from one shard, which has them in sequence.
pub(super) fn write_merged(shards: &[Found], to: &mut dyn Write) -> io::Result<u64> {
    let total: usize = shards.iter().map(|f| f.lines.len()).sum();
    if let [only] = shards {
        to.write_all(&only.bytes)?;
        return Ok(total as u64);
    }
    let mut next = vec![0; shards.len()];
    for _ in 0..total {
        let heads = shards.iter().zip(&next).enumerate();
        let least = heads.filter_map(|(shard, (f, &at))| f.lines.get(at).map(|line| (line.0, shard))).min();
        let Some((_, shard)) = least else { break };
        to.write_all(shards[shard].line(next[shard]))?;
        next[shard] += 1;
    }
    Ok(total as u64)
}

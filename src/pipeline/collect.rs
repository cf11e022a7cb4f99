//! Puts what the shards found into the one order, and writes it.

use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{Receiver, RecvError};

use super::progress::Progress;
use super::shard::Piece;

/// Merges the shards' pieces, batch by batch, and writes them, until a shard gives no more. All shards take the same
/// batches, so the n-th batch of each is the same one. Lines of equal order come from one shard, in sequence.
pub(super) fn collect(
    shards: &[Receiver<Piece>],
    mut to: Box<dyn Write + Send + '_>,
    progress: &Progress,
) -> io::Result<()> {
    let mut written = true;
    while let Ok(mut heads) = shards.iter().map(Head::begin).collect::<Result<Vec<_>, _>>() {
        // The batch's next line is the lowest one at the head of any shard.
        while let Some(least) = lowest(&heads) {
            let count = match &mut heads[..] {
                [only] => only.write_all(&mut *to)?,
                heads => heads[least].write_one(&mut *to)?,
            };
            progress.matches.fetch_add(count, Relaxed);
            written = false;
            if heads[least].refill().is_err() {
                return to.flush();
            }
        }
        if !written && shards.iter().all(Receiver::is_empty) {
            to.flush()?;
            written = true;
        }
    }
    to.flush()
}

/// A shard's piece, some lines of which have been written.
struct Head<'a> {
    from: &'a Receiver<Piece>,
    piece: Piece,
    next: usize,
    /// Where the next line begins.
    at: usize,
}

/// The shard with the lowest next line; none when all have ended the batch.
fn lowest(heads: &[Head<'_>]) -> Option<usize> {
    let next = |(shard, head): (usize, &Head<'_>)| Some((head.piece.lines.get(head.next)?.0, shard));
    heads.iter().enumerate().filter_map(next).min().map(|(_, shard)| shard)
}

impl<'a> Head<'a> {
    /// The first line of the next batch, or its end.
    fn begin(from: &'a Receiver<Piece>) -> Result<Head<'a>, RecvError> {
        let mut head = Head { from, piece: from.recv()?, next: 0, at: 0 };
        head.refill()?;
        Ok(head)
    }

    /// Makes sure that a line is there, if the batch has any more.
    fn refill(&mut self) -> Result<(), RecvError> {
        while self.next == self.piece.lines.len() && !self.piece.ends_batch {
            *self = Head { from: self.from, piece: self.from.recv()?, next: 0, at: 0 };
        }
        Ok(())
    }

    fn write_one(&mut self, to: &mut dyn Write) -> io::Result<u64> {
        let (_, end) = self.piece.lines[self.next];
        to.write_all(&self.piece.bytes[self.at..end])?;
        (self.at, self.next) = (end, self.next + 1);
        Ok(1)
    }

    fn write_all(&mut self, to: &mut dyn Write) -> io::Result<u64> {
        to.write_all(&self.piece.bytes[self.at..])?;
        let count = self.piece.lines.len() - std::mem::replace(&mut self.next, self.piece.lines.len());
        Ok(count as u64)
    }
}

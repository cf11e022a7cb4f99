//! Puts what the shards found into the one order, and writes it.

use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{Receiver, RecvError};

use super::progress::Progress;
use super::shard::{Piece, Signal};
use crate::engine::Order;

/// Takes the output, in order.
pub(super) trait Output {
    /// Some lines, each with its line break. `lines` says where each of them ends in the bytes that `from` is a part of.
    fn lines(&mut self, bytes: &[u8], from: usize, lines: &[(Order, usize)]) -> io::Result<()>;

    /// What comes between two batches.
    fn signal(&mut self, signal: &Signal) -> io::Result<()>;

    /// No more is there at the moment.
    fn pause(&mut self) -> io::Result<()>;
}

/// Writes the lines as they come.
impl Output for Box<dyn Write + Send + '_> {
    fn lines(&mut self, bytes: &[u8], from: usize, lines: &[(Order, usize)]) -> io::Result<()> {
        let end = lines.last().map_or(from, |(_, end)| *end);
        self.write_all(&bytes[from..end])
    }

    fn signal(&mut self, _: &Signal) -> io::Result<()> {
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Merges the shards' pieces, batch by batch, and passes them on, until a shard gives no more. All shards take the same
/// steps, so the n-th of each is the same one. Lines of equal order come from one shard, in sequence.
pub(super) fn collect(
    shards: &[Receiver<Piece>],
    to: &mut impl Output,
    progress: &Progress,
) -> io::Result<()> {
    let mut written = true;
    while let Ok(mut heads) = shards.iter().map(Head::begin).collect::<Result<Vec<_>, _>>() {
        // The batch's next line is the lowest one at the head of any shard.
        while let Some(least) = lowest(&heads) {
            let count = match &mut heads[..] {
                [only] => only.write_all(to)?,
                heads => heads[least].write_one(to)?,
            };
            progress.matches.fetch_add(count, Relaxed);
            written = false;
            if heads[least].refill().is_err() {
                return to.pause();
            }
        }
        if let Some(signal) = heads.first_mut().and_then(|head| head.piece.signal.take()) {
            to.signal(&signal)?;
        }
        if !written && shards.iter().all(Receiver::is_empty) {
            to.pause()?;
            written = true;
        }
    }
    to.pause()
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

    fn write_one(&mut self, to: &mut impl Output) -> io::Result<u64> {
        let line = &self.piece.lines[self.next..=self.next];
        to.lines(&self.piece.bytes, self.at, line)?;
        (self.at, self.next) = (line[0].1, self.next + 1);
        Ok(1)
    }

    fn write_all(&mut self, to: &mut impl Output) -> io::Result<u64> {
        let lines = &self.piece.lines[self.next..];
        to.lines(&self.piece.bytes, self.at, lines)?;
        self.next = self.piece.lines.len();
        Ok(lines.len() as u64)
    }
}

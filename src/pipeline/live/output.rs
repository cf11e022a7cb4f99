//! The logs of what comes out: matches, and what was rejected. Both can be computed again from the inputs, and are after a
//! restart: what is there already is compared, not written twice.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::sync::Notify;

use super::super::collect::Output;
use super::super::shard::{Cut, Signal};
use crate::engine::Order;
use crate::journal::{Journal, NewRecord, Reader};

/// From so many bytes on, lines are written without waiting for more.
const RECORD_BYTES: usize = 256 << 10;

/// A log of lines, each with a number.
pub(super) struct OutputLog {
    journal: Journal,
    /// What is there already and comes again.
    again: Option<Again>,
    meta: Vec<u8>,
    lines: Vec<u8>,
    count: u32,
}

/// Lines that were written before a restart.
struct Again {
    reader: Reader,
    /// What is left of the record that was read last.
    record: Vec<u8>,
    at: usize,
}

impl OutputLog {
    /// Goes on with a log from a number on: lines from there on come again as far as they are there.
    pub(super) fn new(journal: Journal, from: u64) -> io::Result<OutputLog> {
        let again = match from < journal.next() {
            true => Some(Again {
                reader: journal.tail().reader(from).map_err(io::Error::other)?,
                record: Vec::new(),
                at: 0,
            }),
            false => None,
        };
        Ok(OutputLog { journal, again, meta: Vec::new(), lines: Vec::new(), count: 0 })
    }

    /// The number of the next line that is written.
    pub(super) fn next(&self) -> u64 {
        self.journal.next() + u64::from(self.count)
    }

    /// Adds lines, each with its line break; `meta` says something about all of them.
    pub(super) fn add(&mut self, mut lines: &[u8], meta: &[u8]) -> io::Result<()> {
        while let (Some(again), false) = (&mut self.again, lines.is_empty()) {
            let end = memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
            if again.takes(&lines[..end])? {
                lines = &lines[end..];
            } else {
                self.again = None;
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        if self.meta != meta {
            self.write()?;
            self.meta = meta.to_vec();
        }
        self.lines.extend_from_slice(lines);
        self.count += memchr::memchr_iter(b'\n', lines).count() as u32;
        if self.lines.len() >= RECORD_BYTES { self.write() } else { Ok(()) }
    }

    /// Makes all lines durable and shows them.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        self.journal.sync().map_err(io::Error::other)?;
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.count > 0 {
            let record = NewRecord { count: self.count, meta: &self.meta, body: &self.lines };
            self.journal.write(&[record]).map_err(io::Error::other)?;
            self.lines.clear();
            self.count = 0;
        }
        Ok(())
    }
}

impl Again {
    /// Compares the next line with what is there; false where nothing more is there.
    fn takes(&mut self, line: &[u8]) -> io::Result<bool> {
        while self.at == self.record.len() {
            match self.reader.next() {
                None => return Ok(false),
                Some(record) => {
                    self.record = record.map_err(io::Error::other)?.body;
                    self.at = 0;
                }
            }
        }
        let left = &self.record[self.at..];
        if !left.starts_with(line) {
            let number = self.reader.number();
            let there = left.split(|&byte| byte == b'\n').next().unwrap_or_default();
            return Err(io::Error::other(format!(
                "a line before number {number} differs from the one that was computed before the restart (this is a defect of sequor, or the data directory was changed): now {}, before {}",
                String::from_utf8_lossy(line).trim_end(),
                String::from_utf8_lossy(there),
            )));
        }
        self.at += line.len();
        Ok(true)
    }
}

/// Takes the matches in order, and logs them.
pub(super) struct Matches {
    log: OutputLog,
    barriers: Barriers,
    /// Who waits for matches.
    told: Arc<Notify>,
}

/// Who is told where the log stands at a barrier.
pub(super) type Barriers = Box<dyn Fn(u64, u64) + Send>;

impl Matches {
    pub(super) fn new(log: OutputLog, barriers: Barriers, told: Arc<Notify>) -> Matches {
        Matches { log, barriers, told }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.log.sync()?;
        self.told.notify_waiters();
        Ok(())
    }

    fn cut(&mut self, _: &Arc<Cut>) {}
}

impl Output for Matches {
    fn lines(&mut self, bytes: &[u8], from: usize, lines: &[(Order, usize)]) -> io::Result<()> {
        let end = lines.last().map_or(from, |(_, end)| *end);
        self.log.add(&bytes[from..end], b"")
    }

    fn signal(&mut self, signal: &Signal) -> io::Result<()> {
        match signal {
            Signal::Cut(cut) => self.cut(cut),
            Signal::Barrier(number) => {
                self.sync()?;
                (self.barriers)(*number, self.log.next());
            }
        }
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        self.sync()
    }
}

/// What goes to the log of rejected lines.
pub(super) enum Reject {
    /// Lines, each with its line break, and what is said about all of them.
    Lines(Vec<u8>, Vec<u8>),
    /// To say where the log stands.
    Barrier(u64),
}

/// Logs what was rejected, until nobody sends any more.
pub(super) fn log_rejected(
    mut log: OutputLog,
    from: &Receiver<Reject>,
    barriers: &Barriers,
) -> io::Result<()> {
    let mut is_synced = true;
    loop {
        let wait = if is_synced { Duration::MAX } else { Duration::ZERO };
        match from.recv_timeout(wait.min(Duration::from_secs(3600))) {
            Ok(Reject::Lines(lines, meta)) => {
                log.add(&lines, &meta)?;
                is_synced = false;
            }
            Ok(Reject::Barrier(number)) => {
                log.sync()?;
                is_synced = true;
                barriers(number, log.next());
            }
            Err(error) => {
                log.sync()?;
                is_synced = true;
                if error.is_disconnected() {
                    return Ok(());
                }
            }
        }
    }
}

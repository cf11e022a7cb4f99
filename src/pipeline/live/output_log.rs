//! A log of lines that come out: what is there already is compared and not written twice, what cannot be written is held.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::sinks::{Progress, Stop};
use super::stalls::Stalls;
use crate::journal::{Journal, JournalError, NewRecord, Reader, Retention};

/// From so many bytes on, lines are written without waiting for more.
const RECORD_BYTES: usize = 256 << 10;

/// Of more than this that is not durable, in bytes, it is made so.
const HELD_BYTES: usize = 8 << 20;

/// How long after a failure writing is tried again.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });

/// How often a log that is too long looks whether the sinks have come further.
const PATIENCE: Duration = Duration::from_millis(10);

/// A log of lines, each with a number.
pub(super) struct OutputLog {
    journal: Journal,
    /// The number of the next line that comes.
    next: u64,
    /// What is there already and comes again.
    again: Option<Again>,
    /// How many lines come again of which it is not known any more what they were.
    forgotten: u64,
    keep: Keep,
    meta: Vec<u8>,
    lines: Vec<u8>,
    count: u32,
    /// Records that are not durable yet, oldest first: a write or sync that fails takes all of them back.
    held: VecDeque<Held>,
    /// How many of them the journal has.
    written: usize,
}

/// A record that is not durable yet.
struct Held {
    meta: Vec<u8>,
    lines: Vec<u8>,
    count: u32,
    /// The number after its last line, once the journal has it.
    next: u64,
}

/// How much of a log is kept, who still needs it, and who hears when it cannot be written.
pub(super) struct Keep {
    /// What the log is of.
    pub(super) name: &'static str,
    /// Of more than this, the oldest is deleted, in bytes. Of twice as much, no more is written before the sinks have come
    /// further.
    pub(super) bytes: u64,
    /// What they have not taken is not deleted.
    pub(super) sinks: Vec<Arc<Progress>>,
    /// Says that the service stops: then nothing waits any more.
    pub(super) stop: Arc<Stop>,
    /// Where it is told that the log waits until it can be written.
    pub(super) stalls: Arc<Stalls>,
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
    pub(super) fn new(journal: Journal, from: u64, keep: Keep) -> io::Result<OutputLog> {
        let (next, forgotten) = (from, journal.first().saturating_sub(from));
        let from = from + forgotten;
        let again = match from < journal.next() {
            true => Some(Again {
                reader: journal.tail().reader(from).map_err(io::Error::other)?,
                record: Vec::new(),
                at: 0,
            }),
            false => None,
        };
        Ok(OutputLog {
            journal,
            next,
            again,
            forgotten,
            keep,
            meta: Vec::new(),
            lines: Vec::new(),
            count: 0,
            held: VecDeque::new(),
            written: 0,
        })
    }

    /// The number of the next line that comes: also one that was there before a restart.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds lines, each with its line break; `meta` says something about all of them.
    pub(super) fn add(&mut self, mut lines: &[u8], meta: &[u8]) -> io::Result<()> {
        self.next += memchr::memchr_iter(b'\n', lines).count() as u64;
        while self.forgotten > 0 && !lines.is_empty() {
            let end = memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
            (lines, self.forgotten) = (&lines[end..], self.forgotten - 1);
        }
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
        self.hold();
        self.insist(OutputLog::try_sync)?;
        self.insist(OutputLog::delete_old)
    }

    /// Tries again until it succeeds: a disk that takes nothing ends nothing. At the end of the service it is given up, and
    /// the next start computes again what is missing.
    fn insist(
        &mut self,
        mut attempt: impl FnMut(&mut OutputLog) -> Result<(), JournalError>,
    ) -> io::Result<()> {
        loop {
            match attempt(self) {
                Ok(()) => {
                    self.keep.stalls.end(self.keep.name);
                    return Ok(());
                }
                Err(error) => {
                    self.keep.stalls.begin(self.keep.name, error.to_string());
                    if self.keep.stop.wait(RETRY) {
                        return Err(io::Error::other(error));
                    }
                }
            }
        }
    }

    fn try_write(&mut self) -> Result<(), JournalError> {
        let mut write = || {
            while let Some(held) = self.held.get_mut(self.written) {
                let record = NewRecord { count: held.count, meta: &held.meta, body: &held.lines };
                held.next = self.journal.write(&[record])?.end;
                self.written += 1;
            }
            Ok(())
        };
        let done = write();
        if done.is_err() {
            self.taken_back();
        }
        done
    }

    fn try_sync(&mut self) -> Result<(), JournalError> {
        self.try_write()?;
        let done = self.journal.sync();
        if done.is_err() {
            self.taken_back();
        } else {
            self.held.clear();
            self.written = 0;
        }
        done.map(|_| ())
    }

    /// After a failure the journal has what is durable and nothing else.
    fn taken_back(&mut self) {
        let durable = self.journal.durable_next();
        let there = self.held.iter().take(self.written).take_while(|held| held.next <= durable).count();
        self.held.drain(..there);
        self.written = 0;
    }

    /// Deletes what need not be kept; waits for sinks that are too far behind.
    fn delete_old(&mut self) -> Result<(), JournalError> {
        let Keep { bytes, sinks, stop, .. } = &self.keep;
        // As long as lines come that are there already, nothing grows, and a start must not wait.
        let grows = self.again.is_none();
        let tail = self.journal.tail().clone();
        let policy = Retention { bytes_max: Some(*bytes), keep_since: None };
        while tail.bytes() > *bytes {
            let needed = sinks.iter().map(|sink| sink.needs()).min().unwrap_or(u64::MAX);
            self.journal.retain(&policy, needed)?;
            let oldest = tail.segments().first().map_or(0, |segment| segment.next);
            let waits =
                grows && tail.bytes() > bytes.saturating_mul(2) && oldest > needed && oldest < tail.next();
            sinks.iter().for_each(|sink| sink.holds_up(waits && sink.needs() < oldest));
            if !waits || stop.wait(PATIENCE) {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.hold();
        let bytes: usize = self.held.iter().map(|held| held.lines.len()).sum();
        if bytes < HELD_BYTES { self.insist(OutputLog::try_write) } else { self.insist(OutputLog::try_sync) }
    }

    /// Ends the record that lines were added to.
    fn hold(&mut self) {
        if self.count > 0 {
            let (meta, lines) = (self.meta.clone(), std::mem::take(&mut self.lines));
            self.held.push_back(Held { meta, lines, count: std::mem::take(&mut self.count), next: 0 });
        }
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

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;
    use crate::journal::{Disk, DiskFile, Options, RealDisk, Record};

    pub(in crate::pipeline::live) fn journal(dir: &std::path::Path, segment_bytes: u64) -> Journal {
        Journal::open(dir, Options { segment_bytes, ..Options::default() }).unwrap().0
    }

    pub(in crate::pipeline::live) fn keep(bytes: u64, sinks: Vec<Arc<Progress>>) -> Keep {
        Keep { name: "matches", bytes, sinks, stop: Arc::default(), stalls: Arc::default() }
    }

    pub(in crate::pipeline::live) fn records(dir: &std::path::Path) -> Vec<Record> {
        let tail = crate::journal::Tail::open(dir).unwrap();
        tail.reader(tail.first()).unwrap().map(Result::unwrap).collect()
    }

    /// A disk of which every few operations one fails.
    #[derive(Debug, Default)]
    struct Flaky(AtomicU64);

    impl Flaky {
        fn fails(&self) -> io::Result<()> {
            let draw = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed).rotate_left(23);
            if draw.is_multiple_of(5) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl Disk for Flaky {
        fn create(&self, path: &Path) -> io::Result<DiskFile> {
            self.fails().and_then(|()| RealDisk.create(path))
        }

        fn write(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
            RealDisk.write(file, offset, bytes).and_then(|()| self.fails())
        }

        fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
            self.fails().and_then(|()| RealDisk.set_len(file, len))
        }

        fn sync(&self, file: &DiskFile) -> io::Result<()> {
            self.fails().and_then(|()| RealDisk.sync(file))
        }
    }

    #[test]
    fn what_cannot_be_written_is_held_and_written_once() {
        let dir = tempfile::tempdir().unwrap();
        drop(journal(dir.path(), 4096));
        let disk = Arc::new(Flaky::default());
        let options = Options { segment_bytes: 4096, disk: Arc::clone(&disk) as _, ..Options::default() };
        let journal = (0..100).find_map(|_| Journal::open(dir.path(), options.clone()).ok()).unwrap().0;
        let mut log = OutputLog::new(journal, 0, keep(1 << 30, Vec::new())).unwrap();
        let line = |number: u64| format!("{{\"number\":{number},\"x\":\"{}\"}}\n", "y".repeat(100));
        for number in 0..1_000 {
            let meta: &[u8] = if number % 7 < 3 { b"" } else { b"else" };
            log.add(line(number).as_bytes(), meta).unwrap();
            if number % 11 == 0 {
                log.sync().unwrap();
            }
        }
        log.sync().unwrap();
        assert_eq!(log.keep.stalls.any(), None);
        assert!(log.journal.tail().segments().len() > 10);
        drop(log);
        let all: Vec<u8> = records(dir.path()).into_iter().flat_map(|record| record.body).collect();
        assert_eq!(String::from_utf8(all).unwrap(), (0..1_000).map(line).collect::<String>());
    }

    #[test]
    fn the_oldest_lines_are_deleted_and_what_comes_again_goes_on_behind_them() {
        let dir = tempfile::tempdir().unwrap();
        let line = |number: u64| format!("{{\"number\":{number},\"x\":\"{}\"}}\n", "y".repeat(400));
        let mut log = OutputLog::new(journal(dir.path(), 4096), 0, keep(16 << 10, Vec::new())).unwrap();
        for number in 0..200 {
            log.add(line(number).as_bytes(), b"").unwrap();
            log.sync().unwrap();
        }
        assert!(log.journal.tail().bytes() <= 24 << 10 && log.journal.first() > 100);
        drop(log);
        let mut log = OutputLog::new(journal(dir.path(), 4096), 20, keep(16 << 10, Vec::new())).unwrap();
        for number in 20..210 {
            assert_eq!(log.next(), number);
            log.add(line(number).as_bytes(), b"").unwrap();
        }
        log.sync().unwrap();
        drop(log);
        let all = records(dir.path());
        assert_eq!(all.last().map(Record::next), Some(210));
        let lines: Vec<u8> = all.iter().flat_map(|record| record.body.clone()).collect();
        let expected: String = (all[0].first..210).map(line).collect();
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }
}

//! The logs of what comes out: matches, and what was rejected. Both can be computed again from the inputs, and are after a
//! restart: what is there already is compared, not written twice.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::sync::Notify;

use super::super::collect::Output;
use super::super::shard::Signal;
use super::sinks::{Progress, Stop};
use crate::engine::Order;
use crate::journal::{Journal, NewRecord, Reader, Retention};

/// From so many bytes on, lines are written without waiting for more.
const RECORD_BYTES: usize = 256 << 10;

/// What is said about matches of patterns that only run to be looked at: no sink gets them.
pub(super) const SHADOW: &[u8] = b"shadow";

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
}

/// How much of a log is kept, and who still needs it.
pub(super) struct Keep {
    /// Of more than this, the oldest is deleted, in bytes. Of twice as much, no more is written before the sinks have come
    /// further.
    pub(super) bytes: u64,
    /// What they have not taken is not deleted.
    pub(super) sinks: Vec<Arc<Progress>>,
    /// Says that the service stops: then nothing waits any more.
    pub(super) stop: Arc<Stop>,
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
        Ok(OutputLog { journal, next, again, forgotten, keep, meta: Vec::new(), lines: Vec::new(), count: 0 })
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
        self.write()?;
        self.journal.sync().map_err(io::Error::other)?;
        self.delete_old()
    }

    /// Deletes what need not be kept; waits for sinks that are too far behind.
    fn delete_old(&mut self) -> io::Result<()> {
        let Keep { bytes, sinks, stop } = &self.keep;
        // As long as lines come that are there already, nothing grows, and a start must not wait.
        let grows = self.again.is_none();
        let tail = self.journal.tail().clone();
        let policy = Retention { bytes_max: Some(*bytes), keep_since: None };
        while tail.bytes() > *bytes {
            let needed = sinks.iter().map(|sink| sink.needs()).min().unwrap_or(u64::MAX);
            self.journal.retain(&policy, needed).map_err(io::Error::other)?;
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
    /// The versions of patterns whose matches no sink gets.
    shadow: Arc<Versions>,
}

/// Names and versions of patterns.
type Versions = BTreeSet<(String, u64)>;

/// Who is told where the log stands at a barrier.
pub(super) type Barriers = Box<dyn Fn(u64, u64) + Send>;

impl Matches {
    /// On from where the versions of `shadow` are those whose matches no sink gets.
    pub(super) fn new(
        log: OutputLog,
        shadow: Arc<Versions>,
        barriers: Barriers,
        told: Arc<Notify>,
    ) -> Matches {
        Matches { log, barriers, told, shadow }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.log.sync()?;
        self.told.notify_waiters();
        Ok(())
    }

    /// What is to be said about a line.
    fn meta(&self, line: &[u8]) -> &'static [u8] {
        match version_of(line) {
            Some(version) if self.shadow.contains(&version) => SHADOW,
            _ => b"",
        }
    }
}

impl Output for Matches {
    fn lines(&mut self, bytes: &[u8], from: usize, lines: &[(Order, usize)]) -> io::Result<()> {
        let end = lines.last().map_or(from, |(_, end)| *end);
        if self.shadow.is_empty() {
            return self.log.add(&bytes[from..end], b"");
        }
        let mut at = from;
        for (_, end) in lines {
            let line = &bytes[at..*end];
            self.log.add(line, self.meta(line))?;
            at = *end;
        }
        Ok(())
    }

    fn signal(&mut self, signal: &Signal) -> io::Result<()> {
        match signal {
            Signal::Cut(cut) => self.shadow = Arc::clone(&cut.shadow),
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

/// The name and version of the pattern that a line is of. Names are words, so nothing in them is escaped.
fn version_of(line: &[u8]) -> Option<(String, u64)> {
    let rest = line.strip_prefix(br#"{"pattern":""#)?;
    let (name, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
    let rest = rest.strip_prefix(br#"","version":"#)?;
    let version = &rest[..memchr::memchr(b',', rest)?];
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some((text(name)?.to_owned(), text(version)?.parse().ok()?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PatternSet;
    use crate::event::record::StreamSettings;
    use crate::event::{Position, Timestamp};
    use crate::journal::{Options, Record};
    use crate::pipeline::shard::Cut;

    fn journal(dir: &std::path::Path, segment_bytes: u64) -> Journal {
        Journal::open(dir, Options { segment_bytes, ..Options::default() }).unwrap().0
    }

    fn keep(bytes: u64, sinks: Vec<Arc<Progress>>) -> Keep {
        Keep { bytes, sinks, stop: Arc::default() }
    }

    fn records(dir: &std::path::Path) -> Vec<Record> {
        let tail = crate::journal::Tail::open(dir).unwrap();
        tail.reader(tail.first()).unwrap().map(Result::unwrap).collect()
    }

    /// Passes lines of versions of a pattern `p` on, and then a cut to what no sink gets.
    fn pass(to: &mut Matches, versions: &[u64], shadow: &[u64]) {
        let (mut bytes, mut lines) = (Vec::new(), Vec::new());
        let position = Position { stream: 0, partition: 0, offset: 0 };
        let order = Order { time: Timestamp(0), of_event: true, position, pattern: 0 };
        for version in versions {
            bytes.extend_from_slice(
                format!("{{\"pattern\":\"p\",\"version\":{version},\"x\":0}}\n").as_bytes(),
            );
            lines.push((order, bytes.len()));
        }
        to.lines(&bytes, 0, &lines).unwrap();
        let set = Arc::new(PatternSet::of_versions(Vec::new(), &StreamSettings::default(), &[]));
        let shadow = Arc::new(shadow.iter().map(|version| ("p".to_owned(), *version)).collect());
        to.signal(&Signal::Cut(Arc::new(Cut { reached: None, set, renumbers: false, shadow }))).unwrap();
    }

    #[test]
    fn matches_of_shadow_versions_are_marked_from_the_cut_on() {
        let dir = tempfile::tempdir().unwrap();
        let log = OutputLog::new(journal(dir.path(), 1 << 20), 0, keep(1 << 30, Vec::new())).unwrap();
        let mut matches = Matches::new(log, Arc::default(), Box::new(|_, _| {}), Arc::default());
        pass(&mut matches, &[1, 2], &[2]);
        pass(&mut matches, &[1, 2, 2, 12, 1], &[]);
        pass(&mut matches, &[2], &[]);
        matches.pause().unwrap();
        drop(matches);
        let marked: Vec<(u32, bool)> =
            records(dir.path()).iter().map(|record| (record.count, record.meta == SHADOW)).collect();
        assert_eq!(marked, [(3, false), (2, true), (3, false)]);
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

//! What takes what comes out: matches in their order, and what was rejected. Both can be computed again from the inputs, and are
//! after a restart.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::sync::Notify;

use super::super::collect::Output;
use super::super::shard::Signal;
use super::output_log::OutputLog;
use crate::engine::Order;

/// What is said about matches of patterns that only run to be looked at: no sink gets them.
pub(super) const SHADOW: &[u8] = b"shadow";

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
    use super::super::output_log::tests::{journal, keep, records};
    use super::*;
    use crate::engine::PatternSet;
    use crate::event::record::StreamSettings;
    use crate::event::{Position, Timestamp};
    use crate::pipeline::shard::Cut;

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
}

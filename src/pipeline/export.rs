//! What a data directory retains, for others to read: the events, and the control log with the frontier that fits them.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use super::decision::{Decision, Entry};
use super::failure::Failure;
use super::live::{Declared, Marked, Status, entries, idle};
use super::merger::{Merger, Taker};
use super::shard::Cut;
use crate::connect::export::Record;
use crate::event::{Batch, Timestamp};
use crate::journal::Tail;

/// Events that are passed on together where only time is wanted.
const BATCH_SIZE: usize = 1 << 16;

/// Writes the lines of all streams of a data directory, stream by stream. The service may run.
pub fn events(data: &Path, to: &mut dyn Write) -> Result<(), Failure> {
    for (stream, log) in logs(data)? {
        let reader = log.reader(log.first()).map_err(event_log)?;
        for record in reader {
            let record = record.map_err(event_log)?;
            let lines = record.body.strip_suffix(b"\n").unwrap_or(&record.body);
            for (offset, line) in (record.first..).zip(lines.split(|&byte| byte == b'\n')) {
                Record::new(&stream, offset, line).write(&mut &mut *to).map_err(written)?;
            }
        }
    }
    to.flush().map_err(written)
}

/// Writes the control log of a data directory, and where replay is to end: so far the events that are there have been
/// taken, by the decisions that are there. The service may run.
pub fn control_log(data: &Path, to: &mut dyn Write) -> Result<(), Failure> {
    let read =
        |name: &str, error: io::Error| Failure::Read(format!("`{}`", data.join(name).display()), error);
    let control =
        || Tail::open(&data.join("control")).map_err(|error| Failure::Journal("the control log", error));
    // Where no service runs, none shall begin before it is known what is there.
    let lock = File::open(data.join("LOCK")).map_err(|error| read("LOCK", error))?;
    let (entries, end) = match lock.try_lock() {
        Ok(()) => {
            let (entries, logs) = (entries(&control()?)?, logs(data)?);
            drop(lock);
            let end = match entries.last() {
                Some(Entry { decision: Decision::Frontier { .. }, .. }) | None => None,
                Some(_) => Some(reached(&entries, logs)?),
            };
            (entries, end)
        }
        Err(TryLockError::Error(error)) => return Err(read("LOCK", error)),
        Err(TryLockError::WouldBlock) => {
            let text = fs::read(Marked::path(data)).map_err(|error| read("frontier.json", error))?;
            let marked: Marked =
                serde_json::from_slice(&text).map_err(|error| read("frontier.json", error.into()))?;
            let mut entries = entries(&control()?)?;
            entries.truncate(entries.partition_point(|entry| entry.sequence < marked.decisions));
            (entries, Some(Decision::Frontier { time: marked.time, offsets: marked.offsets }))
        }
    };
    write(&entries, end, to)
}

/// Writes the control log of a running service as of a moment.
pub fn control_log_of(status: &Status, control: &Tail, to: &mut dyn Write) -> Result<(), Failure> {
    let mut entries = entries(control)?;
    entries.truncate(entries.partition_point(|entry| entry.sequence < status.decisions));
    let end = Decision::Frontier { time: status.frontier, offsets: status.taken.clone() };
    write(&entries, Some(end), to)
}

fn write(entries: &[Entry], end: Option<Decision>, to: &mut dyn Write) -> Result<(), Failure> {
    let end = end.map(|decision| Entry {
        sequence: entries.last().map_or(0, |last| last.sequence + 1),
        at: entries.last().map_or(0, |last| last.at),
        by: "export".to_owned(),
        decision,
    });
    for entry in entries.iter().chain(&end) {
        let line = serde_json::to_vec(entry).unwrap_or_default();
        to.write_all(&line).and_then(|()| to.write_all(b"\n")).map_err(written)?;
    }
    to.flush().map_err(written)
}

/// The logs of events, by stream.
fn logs(data: &Path) -> Result<BTreeMap<String, Tail>, Failure> {
    let streams = data.join("streams");
    let read = |error| Failure::Read(format!("`{}`", streams.display()), error);
    let mut logs = BTreeMap::new();
    for folder in fs::read_dir(&streams).map_err(read)? {
        let folder = folder.map_err(read)?;
        if let Ok(name) = folder.file_name().into_string() {
            logs.insert(name, Tail::open(&folder.path()).map_err(event_log)?);
        }
    }
    Ok(logs)
}

/// How far a service comes that starts with these logs, before it decides anything.
fn reached(entries: &[Entry], logs: BTreeMap<String, Tail>) -> Result<Decision, Failure> {
    let (declared, idle) = (Declared::of(entries).first, idle(entries));
    let mut merger = Merger::new(declared.into_iter().collect(), BATCH_SIZE, usize::MAX, None);
    for entry in entries.iter().filter(|entry| !matches!(entry.decision, Decision::Idle { .. })) {
        // Patterns take no part in how far time comes.
        if !matches!(entry.decision, Decision::Patterns { .. }) {
            merger.decide(entry);
        }
    }
    let mut offsets = BTreeMap::new();
    let mut open = Vec::new();
    for number in 0..merger.streams().len() {
        let name = merger.streams()[number].name.clone();
        let Some(log) = logs.get(&name) else { continue };
        let end = idle.get(&name).map_or(log.next(), |&offset| offset.min(log.next()));
        open.push((number, name.clone(), log.reader(log.first()).map_err(event_log)?, end));
        offsets.insert(name, end);
    }
    while !open.is_empty() {
        let ingest = merger.ingest();
        let place = (0..open.len()).min_by_key(|&place| ingest.watermark_of(open[place].0));
        let Some(place) = place else { break };
        let (stream, name, reader, end) = &mut open[place];
        match reader.next().transpose().map_err(event_log)?.filter(|record| record.first < *end) {
            Some(record) => merger.lines(*stream, record.first, record.body).map_err(Failure::Full)?,
            None => {
                merger.set_idle(name, idle.contains_key(name));
                open.swap_remove(place);
            }
        }
        merger.run(&mut Nobody)?;
        merger.rejected();
    }
    merger.run(&mut Nobody)?;
    Ok(Decision::Frontier { time: merger.ingest().frontier(), offsets })
}

/// Takes what nobody wants.
struct Nobody;

impl Taker for Nobody {
    fn batch(&mut self, _: Batch) -> Result<(), Failure> {
        Ok(())
    }

    fn advance(&mut self, _: Timestamp) -> Result<(), Failure> {
        Ok(())
    }

    fn cut(&mut self, _: Cut) -> Result<(), Failure> {
        Ok(())
    }
}

fn event_log(error: crate::journal::JournalError) -> Failure {
    Failure::Journal("an event log", error)
}

fn written(error: io::Error) -> Failure {
    Failure::Write("export", error)
}

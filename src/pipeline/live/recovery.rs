//! What is read again at a start: the control log as a whole, and of each event log what had not left.

use std::collections::BTreeMap;

use super::super::decision::{Decision, Entry, StreamDeclaration};
use super::super::failure::Failure;
use super::handle::Arrival;
use super::owner::Owner;
use crate::journal::{Reader, Record, Tail};

/// The entries of a control log.
pub(crate) fn entries(control: &Tail) -> Result<Vec<Entry>, Failure> {
    let reader =
        control.reader(control.first()).map_err(|error| Failure::Journal("the control log", error))?;
    let mut entries = Vec::new();
    for record in reader {
        let record = record.map_err(|error| Failure::Journal("the control log", error))?;
        let entry = serde_json::from_slice(&record.body)
            .map_err(|error| Failure::ControlEntry(record.first, error.to_string()))?;
        entries.push(entry);
    }
    Ok(entries)
}

/// How each stream was declared.
pub(crate) struct Declared {
    /// At its beginning.
    pub(crate) first: BTreeMap<String, StreamDeclaration>,
    /// At last.
    pub(crate) last: BTreeMap<String, StreamDeclaration>,
}

impl Declared {
    pub(crate) fn of(entries: &[Entry]) -> Declared {
        let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            if let Decision::Stream { stream, settings, .. } = &entry.decision {
                first.entry(stream.clone()).or_insert_with(|| settings.clone());
                last.insert(stream.clone(), settings.clone());
            }
        }
        Declared { first, last }
    }
}

/// The streams that are idle in the end, each with its next line.
pub(crate) fn idle(entries: &[Entry]) -> BTreeMap<String, u64> {
    let mut idle = BTreeMap::new();
    for entry in entries {
        match &entry.decision {
            Decision::Idle { stream, offset } => _ = idle.insert(stream.clone(), *offset),
            Decision::Resume { stream, .. } | Decision::Stream { stream, .. } => _ = idle.remove(stream),
            _ => {}
        }
    }
    idle
}

impl Owner {
    /// Takes all decisions and all durable lines.
    ///
    /// A stream that is idle in the end counts until what came before is read: so far its lines were taken. What follows
    /// was durable but not taken when the service ended; it comes now as if it had just arrived, behind all that has left.
    pub(super) fn recover(
        &mut self,
        entries: &[Entry],
        declared: &BTreeMap<String, StreamDeclaration>,
        logs: Vec<Tail>,
    ) -> Result<(), Failure> {
        let idle = idle(entries);
        for entry in entries.iter().filter(|entry| !matches!(entry.decision, Decision::Idle { .. })) {
            self.take(entry);
        }
        let names: Vec<String> = self.merger.streams().iter().map(|stream| stream.name.clone()).collect();
        // One that is new joins later.
        for name in names.iter().filter(|name| !declared.contains_key(*name)) {
            self.merger.set_idle(name, true);
        }
        let readers: Result<Vec<Reader>, _> = logs.iter().map(|log| log.reader(log.first())).collect();
        let mut readers = readers.map_err(|error| Failure::Journal("an event log", error))?;
        let mut open: Vec<usize> = (0..readers.len()).collect();
        let mut untaken = Vec::new();
        while !open.is_empty() {
            // The stream that the others wait for is read first, so that little has to wait.
            let ingest = self.merger.ingest();
            let place = (0..open.len()).min_by_key(|&place| ingest.watermark_of(open[place]));
            let Some(place) = place else { break };
            let stream = open[place];
            let record = readers[stream].next().transpose();
            let record = record.map_err(|error| Failure::Journal("an event log", error))?;
            match (record, idle.get(&names[stream])) {
                (Some(record), offset) if offset.is_none_or(|&offset| record.first < offset) => {
                    self.merger.lines(stream, record.first, record.body).map_err(Failure::Full)?;
                }
                (record, offset) => {
                    let arrival =
                        |record: Record| Arrival { stream, first: record.first, lines: record.body };
                    untaken.extend(record.map(arrival));
                    if offset.is_some() {
                        self.merger.set_idle(&names[stream], true);
                    }
                    open.swap_remove(place);
                }
            }
            self.go_on()?;
        }
        for first in untaken {
            let stream = first.stream;
            self.arrive(first)?;
            for record in readers[stream].by_ref() {
                let record = record.map_err(|error| Failure::Journal("an event log", error))?;
                self.merger.lines(stream, record.first, record.body).map_err(Failure::Full)?;
                self.go_on()?;
            }
        }
        self.go_on()
    }
}

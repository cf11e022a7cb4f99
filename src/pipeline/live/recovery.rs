//! What is read again at a start: the control log as a whole, and of each event log what had not left.

use std::collections::BTreeMap;

use super::super::decision::{Decision, Entry, StreamDeclaration};
use super::super::failure::Failure;
use super::owner::Owner;
use crate::journal::{Reader, Tail};

/// The entries of a control log.
pub(super) fn entries(control: &Tail) -> Result<Vec<Entry>, Failure> {
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

/// How each stream was declared last.
pub(super) fn declared(entries: &[Entry]) -> BTreeMap<String, StreamDeclaration> {
    let declarations = entries.iter().filter_map(|entry| match &entry.decision {
        Decision::Stream { stream, settings, .. } => Some((stream.clone(), settings.clone())),
        _ => None,
    });
    declarations.collect()
}

impl Owner {
    /// Takes all decisions and all durable lines. Which streams are idle is known at the end: until then, all count.
    pub(super) fn recover(&mut self, entries: &[Entry], logs: Vec<Tail>) -> Result<(), Failure> {
        let mut idle = BTreeMap::new();
        for entry in entries {
            match &entry.decision {
                Decision::Idle { stream, .. } => _ = idle.insert(stream.clone(), entry),
                Decision::Resume { stream, .. } => _ = idle.remove(stream),
                _ => {}
            }
            if !matches!(entry.decision, Decision::Idle { .. }) {
                self.take(entry);
            }
        }
        let readers: Result<Vec<Reader>, _> = logs.iter().map(|log| log.reader(log.first())).collect();
        let mut readers = readers.map_err(|error| Failure::Journal("an event log", error))?;
        let mut open: Vec<usize> = (0..readers.len()).collect();
        while !open.is_empty() {
            // The stream that the others wait for is read first, so that little has to wait.
            let ingest = self.merger.ingest();
            let place = (0..open.len()).min_by_key(|&place| ingest.watermark_of(open[place]));
            let Some(place) = place else { break };
            let stream = open[place];
            match readers[stream].next() {
                Some(record) => {
                    let record = record.map_err(|error| Failure::Journal("an event log", error))?;
                    self.merger.lines(stream, record.first, record.body).map_err(Failure::Full)?;
                }
                None => {
                    open.swap_remove(place);
                    continue;
                }
            }
            self.go_on()?;
        }
        for entry in idle.into_values() {
            self.take(entry);
        }
        self.go_on()
    }
}

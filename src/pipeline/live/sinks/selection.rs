//! Which lines of a log go to a sink.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;

use crate::config::settings::{Sink, SinkInput};
use crate::config::target::Selector;
use crate::event::Timestamp;
use crate::journal::{Reader, Record, Tail};
use crate::pipeline::decision::{Decision, Entry, What};

/// Which lines of a log go to a sink. What it says of a line follows from the logs alone.
pub(super) struct Selection {
    what: SinkInput,
    patterns: Vec<Selector>,
    labels: Option<Labels>,
}

/// What is looked at of a match.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    pattern: std::borrow::Cow<'a, str>,
    end: Timestamp,
}

/// What is looked at of what is said about rejected lines.
#[derive(Deserialize)]
struct About<'a> {
    kind: &'a str,
}

impl Selection {
    /// What a sink is to get; labels of patterns are as the control log says.
    pub(super) fn new(sink: &Sink, control: &Tail) -> Selection {
        let by_label = sink.patterns.iter().any(|selector| matches!(selector, Selector::Label(..)));
        let labels = by_label.then(|| Labels {
            control: control.clone(),
            reader: None,
            known: 0,
            of_pattern: BTreeMap::new(),
        });
        Selection { what: sink.what, patterns: sink.patterns.clone(), labels }
    }

    /// The name of what it selects from: it must stay the same for a sink that goes on.
    pub(super) fn source(&self) -> &'static str {
        match self.what {
            SinkInput::Matches => "matches",
            SinkInput::Late => "late",
            SinkInput::DeadLetters => "dead_letters",
        }
    }

    /// Whether any line of a record may be for the sink.
    pub(super) fn takes_of(&self, record: &Record) -> bool {
        let kind = match self.what {
            // Matches of patterns that only run to be looked at go to no sink.
            SinkInput::Matches => return record.meta != super::super::output::SHADOW,
            SinkInput::Late => "late",
            SinkInput::DeadLetters => "dead_letter",
        };
        serde_json::from_slice::<About<'_>>(&record.meta).is_ok_and(|about| about.kind == kind)
    }

    /// Whether a line is for the sink.
    pub(super) fn takes(&mut self, line: &[u8]) -> io::Result<bool> {
        if self.patterns.is_empty() {
            return Ok(true);
        }
        let head: Head<'_> = serde_json::from_slice(line).map_err(io::Error::other)?;
        let none = BTreeMap::new();
        let labels = match &mut self.labels {
            Some(labels) => labels.at(&head.pattern, head.end)?,
            None => &none,
        };
        Ok(self.patterns.iter().any(|selector| selector.selects(&head.pattern, labels)))
    }
}

type Set = BTreeMap<String, String>;

/// The labels of patterns, by when they held. A change is durable in the control log before any match that it concerns.
struct Labels {
    control: Tail,
    reader: Option<Reader>,
    /// Entries below this number have been read.
    known: u64,
    of_pattern: BTreeMap<String, Vec<(Option<Timestamp>, Set)>>,
}

impl Labels {
    fn at(&mut self, pattern: &str, time: Timestamp) -> io::Result<&Set> {
        static NONE: Set = BTreeMap::new();
        self.read()?;
        let history = self.of_pattern.get(pattern).map_or(&[][..], Vec::as_slice);
        let after = history.partition_point(|(from, _)| *from <= Some(time));
        Ok(after.checked_sub(1).map_or(&NONE, |last| &history[last].1))
    }

    fn read(&mut self) -> io::Result<()> {
        let next = self.control.next();
        while self.known < next {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => none.insert(self.control.reader(self.known).map_err(io::Error::other)?),
            };
            let Some(record) = reader.next() else { break };
            let record = record.map_err(io::Error::other)?;
            self.known = record.next();
            let entry: Entry = serde_json::from_slice(&record.body).map_err(io::Error::other)?;
            let Decision::Patterns { effective_from, changes } = entry.decision else { continue };
            for change in changes {
                let (What::Put { properties, .. } | What::Set { properties }) = change.what else { continue };
                let history = self.of_pattern.entry(change.name).or_default();
                if history.last().map(|(_, labels)| labels) != Some(&properties.labels) {
                    history.push((effective_from, properties.labels));
                }
            }
        }
        Ok(())
    }
}

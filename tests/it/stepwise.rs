//! An engine fed by hand, stretch by stretch, for tests that look into it in between.

use std::collections::BTreeSet;
use std::sync::Arc;

use sequor::engine::{Engine, MatchSink, MatchView, Order, PatternSet};
use sequor::event::decode::Decoder;
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{Position, TimeSpan};
use sequor::ingest::{Ingest, PartitionSettings};
use sequor::pattern::plan::Plan;
use sequor::pattern::{Limits, compile};

use crate::generate::Case;

/// What is found: how much, and all of it as lines of JSON.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) count: usize,
    pub(crate) json: Vec<u8>,
}

impl MatchSink for Found {
    fn take(&mut self, _: Order, found: &MatchView<'_>) {
        found.write_json(&mut self.json);
        assert_eq!(self.json.last(), Some(&b'}'));
        self.json.push(b'\n');
        self.count += 1;
    }
}

/// An engine with its inputs.
pub(crate) struct Run {
    pub(crate) engine: Engine,
    decoder: Decoder,
    ingest: Ingest,
    /// By partition, where its next line stands.
    next: Vec<Position>,
    pub(crate) found: Found,
    pub(crate) batch_size: usize,
    /// What is done after each batch.
    pub(crate) between: fn(&mut Engine),
}

impl Run {
    /// With a partition for each of the streams.
    pub(crate) fn new(plans: Vec<Plan>, settings: &StreamSettings, streams: &[&str]) -> Run {
        let names: Vec<String> =
            streams.iter().map(|s| s.to_string()).collect::<BTreeSet<_>>().into_iter().collect();
        let set = Arc::new(PatternSet::new(plans, settings, &names));
        let hasher = KeyHasher::default();
        let rank = |stream: &str| names.iter().position(|name| name == stream).unwrap() as u32;
        let next =
            (0..).zip(streams).map(|(partition, s)| Position { stream: rank(s), partition, offset: 0 });
        let next: Vec<Position> = next.collect();
        let of = |p: &Position| PartitionSettings::new(p.stream, p.partition, settings.out_of_orderness);
        Run {
            decoder: Decoder::new(set.schema(), settings),
            engine: Engine::new(set, hasher, 0, 1),
            ingest: Ingest::new(&next.iter().map(of).collect::<Vec<_>>(), usize::MAX),
            next,
            found: Found::default(),
            batch_size: 7,
            between: |_| {},
        }
    }

    /// Of a random case, with a partition for each of its inputs.
    pub(crate) fn of_case(case: &Case) -> Run {
        let settings = StreamSettings {
            type_field: case.settings.type_field.clone(),
            time_field: case.settings.time_field.clone(),
            out_of_orderness: TimeSpan(case.settings.out_of_orderness_ms),
        };
        let streams: Vec<&str> = case.inputs.iter().map(|input| input.stream.as_str()).collect();
        Run::new(case.compile().unwrap().plans, &settings, &streams)
    }

    /// Takes all lines of a random case.
    pub(crate) fn all_lines(&mut self, case: &Case) {
        for (partition, input) in case.inputs.iter().enumerate() {
            input.lines.iter().for_each(|line| self.lines(partition, [line, &b"\n"[..]].concat()));
        }
        self.end();
    }

    /// With one partition.
    pub(crate) fn of(text: &str) -> Run {
        let compiled = compile(text, &Limits::default());
        assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
        Run::new(compiled.plans, &StreamSettings::default(), &["events"])
    }

    pub(crate) fn lines(&mut self, partition: usize, lines: Vec<u8>) {
        let decoded = self.decoder.decode(lines, self.next[partition]);
        self.next[partition].offset += decoded.lines;
        self.ingest.push(partition, decoded).unwrap();
        self.take();
    }

    fn take(&mut self) {
        while let Some(batch) = self.ingest.batch(self.batch_size) {
            self.engine.process(&batch, &mut self.found);
            (self.between)(&mut self.engine);
        }
        self.ingest.rejected();
    }

    pub(crate) fn end(&mut self) {
        (0..self.next.len()).for_each(|partition| self.ingest.end(partition));
        self.take();
        self.engine.finish(&mut self.found);
    }
}

//! What the engine holds: partial matches, and the events they need. When all windows have closed that is nothing,
//! whatever the pattern, and in between no more than what is still waited for.

use std::sync::Arc;

use sequor::engine::{Engine, MatchSink, MatchView, Order, PatternSet};
use sequor::event::decode::Decoder;
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{Position, TimeSpan};
use sequor::ingest::{Ingest, PartitionSettings};
use sequor::pattern::{Limits, compile};

use crate::random::{self, Seed};

/// Counts what is found.
#[derive(Default)]
struct Count(usize);

impl MatchSink for Count {
    fn take(&mut self, _: Order, found: &MatchView<'_>) {
        let mut json = Vec::new();
        found.write_json(&mut json);
        assert_eq!(json.last(), Some(&b'}'));
        self.0 += 1;
    }
}

/// An engine with its input.
struct Run {
    engine: Engine,
    decoder: Decoder,
    ingest: Ingest,
    next: Position,
    found: Count,
}

impl Run {
    /// None where the rules of the language refuse the text.
    fn new(text: &str) -> Option<Run> {
        let compiled = compile(text, &Limits { states: 200, ..Limits::default() });
        if compiled.diagnostics.has_errors() {
            return None;
        }
        let settings = StreamSettings { out_of_orderness: TimeSpan(3), ..StreamSettings::default() };
        let set = Arc::new(PatternSet::new(compiled.plans, &settings, &["s".to_owned()]));
        let hasher = KeyHasher::default();
        let partition = PartitionSettings { number: 0, out_of_orderness: settings.out_of_orderness };
        Some(Run {
            decoder: Decoder::new(set.schema(), &settings, hasher.clone()),
            engine: Engine::new(set, hasher, 0, 1),
            ingest: Ingest::new(&[partition], usize::MAX),
            next: Position { stream: 0, partition: 0, offset: 0 },
            found: Count::default(),
        })
    }

    fn lines(&mut self, lines: Vec<u8>) {
        let decoded = self.decoder.decode(lines, self.next);
        self.next.offset += decoded.lines;
        self.ingest.push(0, decoded).unwrap();
        self.take();
    }

    fn take(&mut self) {
        while let Some(batch) = self.ingest.batch(7) {
            self.engine.process(&batch, &mut self.found);
        }
    }

    fn end(&mut self) {
        self.ingest.end(0);
        self.take();
        self.engine.finish(&mut self.found);
    }
}

#[test]
fn nothing_is_held_when_all_windows_have_closed() {
    const SKIPS: [&str; 5] = ["no skip", "to next", "past last", "to first", "to last"];
    // By skip strategy: with and without a match.
    let mut seen = [[0; 2]; SKIPS.len()];
    for seed in 0..6_000 {
        let mut choose = Seed(seed);
        let text = random::patterns(&mut choose);
        if text.matches("within").count() != text.matches("pattern").count() {
            continue;
        }
        let Some(mut run) = Run::new(&text) else { continue };
        let lines = random::lines(&mut choose, 24);
        for line in lines {
            run.lines([line, b"\n".to_vec()].concat());
        }
        run.end();
        assert_eq!(run.engine.held(), (0, 0, 0), "seed {seed}\n{text}");
        let skip = SKIPS.iter().rposition(|skip| text.contains(&format!("skip {skip}"))).unwrap_or(0);
        seen[skip][usize::from(run.found.0 > 0)] += 1;
    }
    assert!(seen.iter().flatten().all(|&count| count >= 20), "hardly any of some kind: {seen:?}");
}

#[test]
fn nothing_is_held_of_many_keys_that_came_and_went() {
    const KEYS: usize = 200_000;
    let text = "pattern p key by k match a: a followed by b+: b not followed by c: c within 9ms after match skip past last emit timeouts
        pattern q key by k match a: a followed by b: b where v > a.v within 5ms between events";
    let mut run = Run::new(text).unwrap();
    let mut most = 0;
    for key in 0..KEYS {
        let mut lines = Vec::new();
        for (after, kind) in ["a", "b"].iter().enumerate().take(1 + key % 2) {
            let line =
                format!("{{\"type\":\"{kind}\",\"ts\":{},\"k\":\"key {key}\",\"v\":{after}}}\n", key + after);
            lines.extend(line.into_bytes());
        }
        run.lines(lines);
        most = most.max(run.engine.held().0);
    }
    assert!((10..40).contains(&most), "a key is held as long as it waits: {most}");
    run.end();
    assert_eq!(run.engine.held(), (0, 0, 0));
    // A lone `a` times out; with a `b` there are the match of `q`, the absence of `c`, and a loop that times out.
    assert_eq!(run.found.0, KEYS / 2 + 3 * (KEYS / 2));
}

#[test]
fn without_a_window_only_what_still_waits_is_held() {
    let mut run = Run::new("pattern p key by k match a: a next b: b").unwrap();
    for key in 0..1_000 {
        let time = key * 10;
        let line = |kind, at| format!("{{\"type\":\"{kind}\",\"ts\":{at},\"k\":{key}}}\n");
        // An even key matches; an odd one is ended by an event that is no `b`.
        let second = if key % 2 == 0 { "b" } else { "x" };
        run.lines([line("a", time), line(second, time + 1)].concat().into_bytes());
    }
    run.lines(b"{\"type\":\"a\",\"ts\":100000,\"k\":-1}\n".to_vec());
    run.end();
    assert_eq!(run.found.0, 500);
    assert_eq!(run.engine.held(), (1, 1, 1), "the last `a` waits for ever");
}

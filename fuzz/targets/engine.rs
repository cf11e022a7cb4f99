//! A random pattern over random streams: the engine's three outputs are those of the naive matcher, byte for byte,
//! however many shards there are, however large the batches, and wherever the input is cut.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/naive/mod.rs"]
mod naive;
mod random;

use std::io;
use std::sync::{Arc, LazyLock};

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use random::Choose;
use sequor::connect::{Source, Stretch};
use sequor::event::TimeSpan;
use sequor::event::record::StreamSettings;
use sequor::pattern::{Compiled, Limits, compile};
use sequor::pipeline::{Input, Outputs, Progress, Replay};

/// Choices that the fuzzer's bytes make.
struct Bytes<'a>(Unstructured<'a>);

impl Choose for Bytes<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.choose_index(n).unwrap_or(0)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut choose = Bytes(Unstructured::new(bytes));
    let bound = choose.below(6) as i64;
    let inputs: Vec<naive::Input> = (0..=choose.below(2))
        .map(|_| naive::Input {
            stream: choose.one(&["s", "t"]).to_owned(),
            lines: random::lines(&mut choose, 14),
        })
        .collect();
    let text = random::patterns(&mut choose);
    let compiled = compile(&text, &Limits { states: 200, ..Limits::default() });
    if compiled.diagnostics.has_errors() {
        return;
    }
    let cuts = choose.0.int_in_range(0..=u64::MAX).unwrap_or(0);
    let threads = 1 + choose.below(3);
    let batch_size = [1, 2, 3, 4096][choose.below(4)];
    let settings = naive::Settings { out_of_orderness_ms: bound, ..naive::Settings::default() };
    let Ok(expected) = naive::run(std::slice::from_ref(&compiled.file), &inputs, &settings) else { return };
    let found = replay(compiled, &inputs, bound, threads, batch_size, cuts);
    for (what, found, expected) in [
        ("matches", &found.matches, &expected.matches),
        ("late", &found.late, &expected.late),
        ("dead letters", &found.dead, &expected.dead),
    ] {
        let (found, expected) = (without_words(found), without_words(expected));
        if found == expected {
            continue;
        }
        for input in &inputs {
            let lines: Vec<_> = input.lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
            eprintln!("{}:\n{}", input.stream, lines.join("\n"));
        }
        panic!(
            "{text}bound {bound} ms, {threads} shards, batches of {batch_size}\n{what}: found\n{found}expected\n{expected}"
        );
    }
});

/// An output as text, without the JSON parser's words.
fn without_words(output: &[u8]) -> String {
    static WORDS: LazyLock<regex::Regex> = LazyLock::new(|| {
        regex::Regex::new("\\{\"reason\":\"invalid JSON: [^\"]*\"").expect("a regular expression")
    });
    WORDS.replace_all(&String::from_utf8_lossy(output), "{").into_owned()
}

fn replay(
    compiled: Compiled,
    inputs: &[naive::Input],
    bound: i64,
    threads: usize,
    batch_size: usize,
    cuts: u64,
) -> naive::Outputs {
    let mut outputs = naive::Outputs::default();
    let input = |input: &naive::Input| Input {
        stream: input.stream.clone(),
        name: input.stream.clone(),
        source: Box::new(Pieces { lines: input.lines.clone().into_iter(), cuts, bytes: 0 }),
    };
    let replay = Replay {
        plans: compiled.plans,
        settings: StreamSettings { out_of_orderness: TimeSpan(bound), ..StreamSettings::default() },
        inputs: inputs.iter().map(input).collect(),
        threads,
        batch_size,
        max_buffered_events: 1 << 20,
        progress: Arc::new(Progress::default()),
    };
    let to = Outputs {
        matches: Box::new(&mut outputs.matches),
        late: Some(Box::new(&mut outputs.late)),
        dead_letters: Some(Box::new(&mut outputs.dead)),
    };
    replay.run(to).expect("nothing fails in memory");
    outputs
}

/// Lines, cut where the bits of a number say.
struct Pieces {
    lines: std::vec::IntoIter<Vec<u8>>,
    cuts: u64,
    bytes: u64,
}

impl Source for Pieces {
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        let mut piece = Vec::new();
        for line in self.lines.by_ref() {
            piece.extend(line);
            piece.push(b'\n');
            self.cuts = self.cuts.rotate_left(1);
            if self.cuts & 1 == 1 {
                break;
            }
        }
        self.bytes += piece.len() as u64;
        Ok((!piece.is_empty()).then_some(Stretch::Lines(piece)))
    }

    fn bytes_read(&self) -> u64 {
        self.bytes
    }
}

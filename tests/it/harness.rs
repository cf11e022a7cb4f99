//! Runs a case through Sequor's pipeline, as the command line does, with its outputs in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use sequor::connect::{Source, Stretch};
use sequor::event::TimeSpan;
use sequor::event::record::StreamSettings;
use sequor::pattern::plan::Plan;
use sequor::pipeline::{self, Progress, Replay};

use crate::naive::{Input, Outputs, Settings};

/// How the pipeline is run: nothing of it may show in the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Threads.
    pub(crate) threads: usize,
    /// Events in a batch.
    pub(crate) batch_size: usize,
    /// Lines that a source gives at once.
    pub(crate) stretch: usize,
}

/// What the pipeline's outputs hold.
pub(crate) fn run_engine(plans: Vec<Plan>, inputs: &[Input], settings: &Settings, run: Run) -> Outputs {
    let settings = StreamSettings {
        type_field: settings.type_field.clone(),
        time_field: settings.time_field.clone(),
        out_of_orderness: TimeSpan(settings.out_of_orderness_ms),
    };
    let inputs = inputs.iter().map(|input| pipeline::Input {
        stream: input.stream.clone(),
        name: "a test".into(),
        source: Box::new(Lines::new(&input.lines, run.stretch)),
    });
    let replay = Replay {
        plans,
        settings,
        inputs: inputs.collect(),
        threads: run.threads,
        batch_size: run.batch_size,
        max_buffered_events: 1 << 20,
        progress: Arc::new(Progress::default()),
    };
    let mut outputs = Outputs::default();
    replay
        .run(pipeline::Outputs {
            matches: Box::new(&mut outputs.matches),
            late: Some(Box::new(&mut outputs.late)),
            dead_letters: Some(Box::new(&mut outputs.dead)),
        })
        .unwrap();
    outputs
}

/// Lines in memory.
struct Lines {
    stretches: VecDeque<Vec<u8>>,
    bytes: u64,
}

impl Lines {
    fn new(lines: &[Vec<u8>], stretch: usize) -> Lines {
        let whole = |lines: &[Vec<u8>]| lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        Lines { stretches: lines.chunks(stretch).map(whole).collect(), bytes: 0 }
    }
}

impl Source for Lines {
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        let next = self.stretches.pop_front();
        self.bytes += next.as_ref().map_or(0, |lines| lines.len() as u64);
        Ok(next.map(Stretch::Lines))
    }

    fn bytes_read(&self) -> u64 {
        self.bytes
    }
}

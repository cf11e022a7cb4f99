//! Runs that go wrong: whatever fails, on whichever thread, the run ends, says why, and has written what was found
//! before, and nothing that only the end of the input would have told.

use std::io::{self, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use sequor::connect::{Source, Stretch};
use sequor::event::TimeSpan;
use sequor::event::record::StreamSettings;
use sequor::pattern::{Limits, compile};
use sequor::pipeline::{Failure, Input, Outputs, Replay};

/// Stretches, and then perhaps a failure.
struct Script(Vec<Result<&'static str, io::ErrorKind>>);

impl Source for Script {
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        match self.0.is_empty() {
            true => Ok(None),
            false => match self.0.remove(0) {
                Ok("panic") => panic!("on purpose"),
                Ok(lines) => Ok(Some(Stretch::Lines(lines.into()))),
                Err(kind) => Err(kind.into()),
            },
        }
    }

    fn bytes_read(&self) -> u64 {
        0
    }
}

/// A source that gives one stretch and then waits for ever.
struct Silent(Option<&'static str>);

impl Source for Silent {
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        match self.0.take() {
            Some(lines) => Ok(Some(Stretch::Lines(lines.into()))),
            None => {
                let (_keep, never) = mpsc::channel::<()>();
                let _ = never.recv();
                Ok(None)
            }
        }
    }

    fn bytes_read(&self) -> u64 {
        0
    }
}

/// What is written, and what happens at the first write.
#[derive(Clone, Default)]
struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
    fails: Option<io::ErrorKind>,
    panics: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.panics, "on purpose");
        match self.fails {
            Some(kind) => Err(kind.into()),
            None => self.bytes.lock().unwrap().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two events that match, one that waits for what never comes, and a late one.
const EVENTS: &str = "{\"type\":\"a\",\"ts\":1}\n{\"type\":\"b\",\"ts\":2}\n{\"type\":\"a\",\"ts\":3}\n{\"type\":\"x\",\"ts\":9}\n{\"type\":\"x\",\"ts\":1}\n";
const PATTERNS: &str =
    "pattern pair match a: a next b: b\npattern alone match a: a not followed by b: b within 1h";

fn run(source: impl Source + 'static, matches: Sink, late: Sink, threads: usize) -> Result<u64, Failure> {
    let replay = Replay {
        plans: compile(PATTERNS, &Limits::default()).plans,
        settings: StreamSettings { out_of_orderness: TimeSpan(0), ..StreamSettings::default() },
        inputs: vec![Input { stream: "events".into(), name: "the script".into(), source: Box::new(source) }],
        threads,
        batch_size: 2,
        max_buffered_events: 100,
        progress: Arc::default(),
    };
    let outputs = Outputs { matches: Box::new(matches), late: Some(Box::new(late)), dead_letters: None };
    replay.run(outputs).map(|summary| summary.engine.matches)
}

fn found(sink: &Sink) -> Vec<String> {
    let text = String::from_utf8(sink.bytes.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.split('"').nth(3).unwrap().to_owned()).collect()
}

#[test]
fn a_read_that_fails_ends_the_run_with_what_was_found_before() {
    for threads in [1, 2, 5] {
        let out = Sink::default();
        let script = Script(vec![Ok(EVENTS), Err(io::ErrorKind::UnexpectedEof)]);
        let failure = run(script, out.clone(), Sink::default(), threads).unwrap_err();
        assert!(matches!(&failure, Failure::Read(name, _) if name == "the script"), "{failure}");
        assert!(failure.to_string().contains("cut off"));
        assert_eq!(found(&out), ["pair"], "the absence is not certain before the end");
        let out = Sink::default();
        assert_eq!(run(Script(vec![Ok(EVENTS)]), out.clone(), Sink::default(), threads).unwrap(), 2);
        assert_eq!(found(&out), ["pair", "alone"]);
    }
}

#[test]
fn a_write_that_fails_ends_the_run() {
    for threads in [1, 2, 5] {
        let full = Sink { fails: Some(io::ErrorKind::StorageFull), ..Sink::default() };
        let failure = run(Script(vec![Ok(EVENTS); 50]), full.clone(), Sink::default(), threads).unwrap_err();
        assert!(failure.to_string().starts_with("cannot write the matches:"), "{failure}");
        let failure = run(Script(vec![Ok(EVENTS); 50]), Sink::default(), full, threads).unwrap_err();
        assert!(failure.to_string().starts_with("cannot write the late events:"), "{failure}");
    }
}

#[test]
fn a_panic_on_any_thread_ends_the_run() {
    for threads in [1, 2, 5] {
        let panics = Sink { panics: true, ..Sink::default() };
        for (script, out, late) in [
            (vec![Ok(EVENTS), Ok("panic")], Sink::default(), Sink::default()),
            (vec![Ok(EVENTS); 50], panics.clone(), Sink::default()),
            (vec![Ok(EVENTS); 50], Sink::default(), panics),
        ] {
            let failure = run(Script(script), out, late, threads).unwrap_err();
            assert!(matches!(failure, Failure::Panicked), "{failure}");
        }
    }
}

#[test]
fn a_failed_write_does_not_wait_for_a_silent_input() {
    let closed = Sink { fails: Some(io::ErrorKind::BrokenPipe), ..Sink::default() };
    let failure = run(Silent(Some(EVENTS)), closed, Sink::default(), 2).unwrap_err();
    assert!(matches!(failure, Failure::Write("matches", error) if error.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn too_many_waiting_events_end_the_run_with_the_way_out() {
    const TIED: &str = "{\"ts\":1}\n{\"ts\":1}\n{\"ts\":1}\n";
    for threads in [1, 2] {
        let run = |count| run(Script(vec![Ok(TIED); count]), Sink::default(), Sink::default(), threads);
        assert_eq!(run(34).unwrap(), 0, "102 events wait for the end");
        let failure = run(35).unwrap_err();
        assert!(matches!(failure, Failure::Full(_)));
        assert!(
            failure.to_string().contains("more than 100 events")
                && failure.to_string().contains("--max-buffered-events")
        );
    }
}

//! What partial matches cost in memory, and whether memory goes back when they close.

use std::fmt::Write as _;

use crate::case::Case;
use crate::generate::Workload;
use crate::measure::{count, resident};
use crate::memory::{Bench, Tally};

/// Events that are made, decoded and taken at once.
const STEP: u64 = 10_000;

/// One event of each of so many keys, a millisecond apart: the resident memory before, after the last event, and after
/// the end of the stream, and how many steps were held after the last event.
fn one_event_each(keys: u64, window: &str) -> Result<(u64, u64, u64, usize), String> {
    let case = Case {
        name: "state".into(),
        log: Workload::CardTesting,
        events_max: 0,
        patterns: format!("pattern waiting key by id match a: opened followed by b: closed within {window}"),
        reorders: false,
    };
    let mut bench = Bench::new(&case)?;
    let mut engine = bench.engine();
    let mut tally = Tally::default();
    let mut step = |from: u64, engine: &mut sequor::engine::Engine| {
        let mut lines = String::new();
        for key in from..from + STEP {
            let ts = 1_700_000_000_000 + key;
            let _ = writeln!(lines, r#"{{"type":"opened","ts":{ts},"id":"k{key}"}}"#);
        }
        let decoded = bench.decode(lines.as_bytes(), from);
        bench.order(decoded, |batch| engine.process(&batch, &mut tally)).map_err(|e| e.to_string())
    };
    // The buffers that reading needs are there before the first look at memory.
    step(0, &mut engine)?;
    engine.finish(&mut Tally::default());
    let before = settled();
    for from in (STEP..STEP + keys).step_by(STEP as usize) {
        step(from, &mut engine)?;
    }
    let (open, steps) = (resident(), engine.held().1);
    engine.finish(&mut tally);
    Ok((before, open, settled(), steps))
}

/// Resident memory once the allocator has had time to give pages back, which it does when it is used.
fn settled() -> u64 {
    for _ in 0..30 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
    resident()
}

fn report(what: &str, keys: u64, window: &str) -> Result<(), String> {
    let (before, open, after, steps) = one_event_each(keys, window)?;
    let megabytes = |bytes: u64| count(bytes as f64 / f64::from(1 << 20));
    println!(
        "{what}: {} steps held; {} MB before, {} MB after the last event ({} bytes a held step), {} MB after the end",
        count(steps as f64),
        megabytes(before),
        megabytes(open),
        count(open.saturating_sub(before) as f64 / steps.max(1) as f64),
        megabytes(after),
    );
    Ok(())
}

/// Prints what 1 M open partial matches cost and what 10 M closed ones leave behind.
pub(crate) fn run() -> Result<(), String> {
    report("1 M keys, one open partial match each", 1_000_000, "1d")?;
    report("10 M keys, each closed after a minute", 10_000_000, "1m")?;
    report("10 M keys, all closed at the end", 10_000_000, "1d")
}

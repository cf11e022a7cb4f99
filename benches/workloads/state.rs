//! What open partial matches cost: memory, opening, touching and closing one; and whether memory goes back.

use std::fmt::Write as _;

use sequor::engine::{self, Engine};
use sequor::state::Spill;

use crate::case::Case;
use crate::generate::Workload;
use crate::measure::{count, forget_peak, peak, resident, timed};
use crate::memory::{Bench, Tally};
use crate::report::Report;

/// Events that are made, decoded and taken at once.
const STEP: u64 = 10_000;
/// Events that meet a random one of the open keys.
const TOUCHES: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000;

/// What keys may take where most lie in files.
const COLD_BUDGET: usize = 256 << 20;

/// Keys that wait, each with one open partial match of an event with two fields besides type and time.
struct Waiting {
    bench: Bench,
    engine: Engine,
    tally: Tally,
    taken: u64,
}

impl Waiting {
    fn new(window: &str) -> Result<Waiting, String> {
        // Never true, and only the key's state tells.
        let pattern = format!(
            "pattern waiting key by id
               match a: opened followed by b: closed where amount > a.amount + 1000 within {window}"
        );
        let bench = Bench::new(&Case::new("state", Workload::CardTesting, &pattern))?;
        let engine = bench.engine();
        Ok(Waiting { bench, engine, tally: Tally::default(), taken: 0 })
    }

    /// Takes one event for each of these keys, a millisecond apart. The CPU seconds of it, decoding left out.
    fn take(&mut self, kind: &str, keys: impl Iterator<Item = u64>) -> Result<f64, String> {
        let mut keys = keys.peekable();
        let mut cpu = 0.0;
        let mut lines = String::new();
        while keys.peek().is_some() {
            lines.clear();
            for key in keys.by_ref().take(STEP as usize) {
                let (ts, amount) = (START + self.taken, key % 1_000);
                let _ = writeln!(lines, r#"{{"type":"{kind}","ts":{ts},"id":"k{key}","amount":{amount}}}"#);
                self.taken += 1;
            }
            let decoded = self.bench.decode(lines.as_bytes(), self.taken);
            let (bench, engine, tally) = (&self.bench, &mut self.engine, &mut self.tally);
            let (result, spent) = timed(|| bench.order(decoded, |batch| engine.process(&batch, tally)));
            result.map_err(|e| e.to_string())?;
            cpu += spent.cpu;
        }
        Ok(cpu)
    }
}

/// Opens a partial match for each of so many keys, meets random ones, and closes all; says what that cost.
fn report_on(keys: u64, window: &str, report: &Report) -> Result<(), String> {
    let mut waiting = Waiting::new(window)?;
    // The buffers that reading needs are there before the first look at memory.
    waiting.take("opened", 0..STEP)?;
    waiting.engine.finish(&mut Tally::default());
    let before = settled();
    forget_peak();
    let opening = waiting.take("opened", STEP..STEP + keys)?;
    let (open, highest) = (resident(), peak());
    let (held, steps, _) = waiting.engine.held();
    let mut random = 1_u64;
    let touched = (0..TOUCHES).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Keys that are still open: the last ones.
        STEP + keys - 1 - (random >> 33) % held.max(1) as u64
    });
    let touching = waiting.take("closed", touched)?;
    let still = waiting.engine.held().1;
    let ((), closing) = timed(|| waiting.engine.finish(&mut waiting.tally));
    let after = settled();
    let each = |seconds: f64, number: u64| seconds * 1e9 / number.max(1) as f64;
    let figures = [
        ("bytes a key", open.saturating_sub(before) as f64 / steps.max(1) as f64),
        ("ns an opening", each(opening, keys)),
        ("ns a touch", each(touching, TOUCHES)),
        ("ns a closing", each(closing.cpu, still as u64)),
        ("MB before", before as f64 / 1e6),
        ("MB open", open as f64 / 1e6),
        ("MB peak", highest as f64 / 1e6),
        ("MB after", after as f64 / 1e6),
    ];
    if report.json {
        let figures: serde_json::Map<_, _> =
            figures.into_iter().map(|(name, figure)| (name.replace(' ', "_"), figure.into())).collect();
        let line = serde_json::json!({"part": "state", "keys": keys, "window": window, "held": held, "figures": figures});
        println!("{line}");
        return Ok(());
    }
    println!("\n{} keys, window {window}: {} held after the last", count(keys as f64), count(held as f64));
    for (name, figure) in figures {
        println!("{:>12} {name}", count(figure));
    }
    Ok(())
}

/// Records on disk.
#[derive(Debug)]
struct Files(Spill);

impl engine::Spill for Files {
    fn put(&mut self, record: &[u8]) -> Result<u32, String> {
        self.0.put(record).map_err(|error| error.to_string())
    }

    fn get(&mut self, place: u32, into: &mut Vec<u8>) -> Result<(), String> {
        self.0.get(place, into).map_err(|error| error.to_string())
    }

    fn remove(&mut self, place: u32) {
        self.0.remove(place);
    }

    fn sparse(&mut self) -> Result<Vec<u32>, String> {
        self.0.sparse().map_err(|error| error.to_string())
    }
}

/// The same with little memory: most keys lie in files.
fn report_cold(keys: u64, budget: usize, report: &Report) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let spill = Spill::open(&dir.path().join("cold"), 64 << 20).map_err(|error| error.to_string())?;
    let mut waiting = Waiting::new("10d")?;
    waiting.engine.spill(Box::new(Files(spill)), budget);
    waiting.take("opened", 0..STEP)?;
    waiting.engine.finish(&mut Tally::default());
    let before = settled();
    forget_peak();
    let opening = waiting.take("opened", STEP..STEP + keys)?;
    let (open, cold) = (peak(), waiting.engine.cold_keys());
    let mut random = 1_u64;
    let mut some = |of: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        STEP + keys - 1 - (random >> 33) % of
    };
    // Never true, but the key has to be there to know; then of keys that are likely to be in memory.
    let any: Vec<u64> = (0..TOUCHES).map(|_| some(keys)).collect();
    let late: Vec<u64> = (0..TOUCHES).map(|_| some(keys / 1000)).collect();
    let touching = waiting.take("closed", any.into_iter())?;
    let again = waiting.take("closed", late.into_iter())?;
    let held = waiting.engine.held_bytes();
    let ((), closing) = timed(|| waiting.engine.finish(&mut waiting.tally));
    if let Some(why) = waiting.engine.lost().or(waiting.engine.refused()) {
        return Err(why.to_owned());
    }
    let each = |seconds: f64, number: u64| seconds * 1e9 / number.max(1) as f64;
    let figures = [
        ("cold keys", cold as f64),
        ("ns an opening", each(opening, keys)),
        ("ns a touch of any", each(touching, TOUCHES)),
        ("ns a touch of a late one", each(again, TOUCHES)),
        ("ns a closing", each(closing.cpu, keys)),
        ("MB before", before as f64 / 1e6),
        ("MB held", held as f64 / 1e6),
        ("MB peak open", open as f64 / 1e6),
        ("MB peak", peak() as f64 / 1e6),
    ];
    if report.json {
        let figures: serde_json::Map<_, _> =
            figures.into_iter().map(|(name, figure)| (name.replace(' ', "_"), figure.into())).collect();
        println!(
            "{}",
            serde_json::json!({"part": "cold", "keys": keys, "budget": budget, "figures": figures})
        );
        return Ok(());
    }
    println!("\n{} keys with a budget of {} bytes", count(keys as f64), count(budget as f64));
    for (name, figure) in figures {
        println!("{:>12} {name}", count(figure));
    }
    Ok(())
}

/// Resident memory once the allocator has had time to give pages back, which it does when it is used.
fn settled() -> u64 {
    for _ in 0..30 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
    resident()
}

/// All at once, and a hundredth of them at any time.
pub(crate) fn run(keys: u64, report: &Report) -> Result<(), String> {
    report_on(keys, "10d", report)?;
    report_on(keys, "100s", report)?;
    report_cold(keys, COLD_BUDGET, report)
}

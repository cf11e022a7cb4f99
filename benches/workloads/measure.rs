//! Time and memory of this process, and what several runs of one thing come to.

use std::fs;
use std::time::Instant;

/// What one run took, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) wall: f64,
    /// CPU of the calling thread: on a busy machine the steadier figure. Linux only.
    pub(crate) cpu: Option<f64>,
}

/// Runs something and tells what it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let cpu = thread_cpu();
    #[expect(clippy::disallowed_methods, reason = "measuring is what a benchmark is for")]
    let begun = Instant::now();
    let result = work();
    let wall = begun.elapsed().as_secs_f64();
    (result, Spent { wall, cpu: cpu.zip(thread_cpu()).map(|(before, after)| after - before) })
}

fn thread_cpu() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// CPU of all threads of this process so far, in seconds, to a hundredth; 0 where it is not known. Linux only.
pub(crate) fn process_cpu() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The memory of this process that is in RAM, in bytes; 0 where it is not known.
pub(crate) fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Several runs of one thing over so many events.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    events: usize,
    spent: Vec<Spent>,
}

impl Runs {
    pub(crate) fn new(events: usize) -> Runs {
        Runs { events, spent: Vec::new() }
    }

    pub(crate) fn events(&self) -> usize {
        self.events
    }

    pub(crate) fn push(&mut self, spent: Spent) {
        self.spent.push(spent);
    }

    /// Events per second, the middle one of all runs.
    pub(crate) fn median(&self) -> f64 {
        let mut rates = self.rates(|s| Some(s.wall));
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Events per second, the best of all runs.
    pub(crate) fn best(&self) -> f64 {
        self.rates(|s| Some(s.wall)).into_iter().fold(f64::NAN, f64::max)
    }

    /// Events per second of CPU, the middle one of all runs.
    pub(crate) fn by_cpu(&self) -> f64 {
        let mut rates = self.rates(|s| s.cpu);
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn rates(&self, of: impl Fn(&Spent) -> Option<f64>) -> Vec<f64> {
        self.spent.iter().filter_map(of).map(|seconds| self.events as f64 / seconds).collect()
    }
}

/// A number with its thousands apart.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

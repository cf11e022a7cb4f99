//! Time and memory of this process, and what several runs of one thing come to.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// What one run took, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) wall: f64,
    /// CPU of the calling thread: on a busy machine the steadier figure.
    pub(crate) cpu: f64,
    /// CPU of all threads of this process.
    pub(crate) process: f64,
}

/// Runs something and tells what it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let clocks = [ClockId::Monotonic, ClockId::ThreadCPUTime, ClockId::ProcessCPUTime];
    let now = || {
        clocks.map(|clock| {
            let time = clock_gettime(clock);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        })
    };
    let before = now();
    let result = work();
    let after = now();
    let [wall, cpu, process] = [0, 1, 2].map(|clock| after[clock] - before[clock]);
    (result, Spent { wall, cpu, process })
}

/// The memory of this process that is in RAM, in bytes; 0 where it is not known. Linux only.
pub(crate) fn resident() -> u64 {
    status("VmRSS:")
}

/// The most memory that was in RAM since `forget_peak`, in bytes; 0 where it is not known. Linux only.
pub(crate) fn peak() -> u64 {
    status("VmHWM:")
}

/// Counts the peak from now on, where that is possible.
pub(crate) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Several runs of one thing over so many events.
#[derive(Debug, Default, Clone)]
pub(crate) struct Runs {
    pub(crate) events: usize,
    pub(crate) spent: Vec<Spent>,
}

impl Runs {
    pub(crate) fn new(events: usize) -> Runs {
        Runs { events, spent: Vec::new() }
    }

    pub(crate) fn push(&mut self, spent: Spent) {
        self.spent.push(spent);
    }

    /// The middle one of all runs, in seconds.
    pub(crate) fn median(&self, of: impl Fn(&Spent) -> f64) -> f64 {
        median(self.spent.iter().map(of).collect())
    }

    /// Seconds by the wall clock, the best of all runs.
    pub(crate) fn best(&self) -> f64 {
        self.spent.iter().map(|spent| spent.wall).fold(f64::NAN, f64::min)
    }

    /// Nanoseconds of CPU an event, the middle one of all runs.
    pub(crate) fn nanoseconds(&self) -> f64 {
        self.median(|spent| spent.cpu) * 1e9 / self.events as f64
    }
}

/// The middle one of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
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

//! What nobody can do without: reading the bytes, parsing the JSON, and card_testing as one would write it by hand.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::generate::Workload;
use crate::memory::Tally;

/// A parser of lines into a type made for them, which tells how many events it has read. It may write to the lines.
pub(crate) type Parse = fn(&mut [u8]) -> usize;

/// The parsers for a log's lines, by name.
pub(crate) fn parsers(log: Workload) -> [(&'static str, Parse); 3] {
    macro_rules! parsers {
        ($event:ident) => {
            [
                ("bare parse, serde_json", |lines| by_serde_json::<$event<'_>>(lines)),
                ("bare parse, sonic-rs", |lines| by_sonic::<$event<'_>>(lines)),
                ("bare parse, simd-json", |lines| by_simd_json::<$event<'_>>(lines)),
            ]
        };
    }
    match log {
        Workload::CardTesting | Workload::OutOfOrder | Workload::Spread => parsers!(Payment),
        Workload::BruteForce => parsers!(Login),
        Workload::RisingPrice => parsers!(Tick),
        Workload::MissingPayment => parsers!(Order),
        Workload::Abc(_) | Workload::Shop => parsers!(Letter),
    }
}

/// A payment with only the fields that the pattern needs.
#[derive(Deserialize)]
struct Payment<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ts: i64,
    card: &'a str,
    amount: f64,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "they are read from the lines, and by nobody else")]
struct Login<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ts: i64,
    user: &'a str,
    outcome: &'a str,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "they are read from the lines, and by nobody else")]
struct Tick<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ts: i64,
    symbol: &'a str,
    price: f64,
    volume: i64,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "they are read from the lines, and by nobody else")]
struct Order<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ts: i64,
    order_id: &'a str,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "they are read from the lines, and by nobody else")]
struct Letter<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ts: i64,
}

fn by_serde_json<'a, T: Deserialize<'a>>(lines: &'a [u8]) -> usize {
    let lines = lines.split_inclusive(|&byte| byte == b'\n');
    lines.filter(|line| black_box(serde_json::from_slice::<T>(line)).is_ok()).count()
}

fn by_sonic<'a, T: Deserialize<'a>>(lines: &'a [u8]) -> usize {
    let lines = lines.split_inclusive(|&byte| byte == b'\n');
    lines.filter(|line| black_box(sonic_rs::from_slice::<T>(line)).is_ok()).count()
}

/// Unescapes in place, which is why the lines have to be writable.
fn by_simd_json<'a, T: Deserialize<'a>>(lines: &'a mut [u8]) -> usize {
    let mut buffers = simd_json::Buffers::default();
    let parsed = lines
        .split_inclusive_mut(|&byte| byte == b'\n')
        .map(|line| simd_json::serde::from_slice_with_buffers::<T>(line, &mut buffers));
    parsed.filter(|event| black_box(event).is_ok()).count()
}

/// The file's bytes, and nothing done with them.
pub(crate) fn read(path: &Path) -> io::Result<u64> {
    let (mut file, mut buffer, mut bytes) = (File::open(path)?, vec![0; 256 << 10], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += black_box(&buffer[..read]).len() as u64,
        }
    }
}

/// Payments, parsed and in the order of time.
pub(crate) struct Payments<'a>(Vec<Payment<'a>>);

impl<'a> Payments<'a> {
    pub(crate) fn new(lines: &'a [u8]) -> Payments<'a> {
        let lines = lines.split_inclusive(|&byte| byte == b'\n');
        Payments(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// card_testing by hand. An engine does not know which events matter and looks the key up at each of them: with
    /// `always` so does this.
    #[inline(never)]
    pub(crate) fn match_by_hand(&self, always: bool) -> Tally {
        let mut open: hashbrown::HashMap<&str, Vec<i64>, ahash::RandomState> = hashbrown::HashMap::default();
        let mut tally = Tally::default();
        for payment in self.0.iter().filter(|p| p.kind == "tx") {
            if always {
                black_box(open.get(payment.card));
            }
            if payment.amount > 400.0 {
                for first in open.remove(payment.card).unwrap_or_default() {
                    if payment.ts - first < 600_000 {
                        tally.matches += 1;
                        tally.check = tally.check.wrapping_add(first * 31 + payment.ts);
                    }
                }
            }
            if payment.amount < 2.0 {
                open.entry(payment.card).or_default().push(payment.ts);
            }
        }
        tally
    }
}

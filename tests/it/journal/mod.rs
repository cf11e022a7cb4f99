//! Journals: what was synced is there after anything, what was not is never something else, and damage is refused.

mod commit;
mod damage;
mod failing;
mod model;
mod power;
mod reading;

use std::io;
use std::path::Path;

use sequor::journal::{Disk, DiskFile, EncodedRecord, Journal, JournalError, Record, Tail};

/// The disk without syncs, for tests that open many journals.
#[derive(Debug)]
struct Unsynced;

impl Disk for Unsynced {
    fn sync(&self, _: &DiskFile) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// SplitMix64: random numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    /// A record that is the next one after number `first`; half of them can be compressed.
    fn record(&mut self, first: u64, bytes_max: usize) -> Record {
        let (meta, len) = (self.below(20), self.below(bytes_max));
        let body = if self.below(2) == 0 { self.bytes(len) } else { vec![self.below(256) as u8; len] };
        Record { first, count: self.below(4) as u32 + 1, meta: self.bytes(meta), body }
    }

    /// Records for one append.
    fn records(&mut self, mut first: u64, bytes_max: usize) -> Vec<Record> {
        let mut records = Vec::new();
        for _ in 0..=self.below(3) {
            let record = self.record(first, bytes_max);
            first = record.next();
            records.push(record);
        }
        records
    }
}

fn encoded(records: &[Record]) -> Vec<EncodedRecord> {
    let encode = |r: &Record| EncodedRecord::new(r.count, &r.meta, &r.body, 64).unwrap();
    records.iter().map(encode).collect()
}

/// Writes records, and checks that they get the numbers that they have.
fn write(journal: &mut Journal, records: &[Record]) -> Result<(), JournalError> {
    let numbers = journal.write_encoded(&encoded(records))?;
    assert_eq!(numbers, records[0].first..records.last().unwrap().next());
    Ok(())
}

fn append(journal: &mut Journal, records: &[Record]) -> Result<(), JournalError> {
    write(journal, records)?;
    journal.sync().map(|next| assert_eq!(next, records.last().unwrap().next()))
}

fn read_tail(tail: &Tail) -> Result<Vec<Record>, JournalError> {
    tail.reader(tail.first())?.collect()
}

/// All records in a folder that nobody writes.
fn read(dir: &Path) -> Result<Vec<Record>, JournalError> {
    read_tail(&Tail::open(dir)?)
}

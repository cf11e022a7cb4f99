//! Journals: what was synced is there after anything, what was not is never something else, and damage is refused.

use std::path::Path;

use sequor::journal::{Journal, NewRecord, Options, Record, Tail};

fn options() -> Options {
    Options { segment_bytes: 600, compress_from: 64, ..Options::default() }
}

fn record(meta: &str, body: &str, count: u32) -> Record {
    Record { first: 0, count, meta: meta.into(), body: body.into() }
}

fn append(journal: &mut Journal, record: &Record) -> u64 {
    let new = NewRecord { count: record.count, meta: &record.meta, body: &record.body };
    journal.append(&[new]).unwrap().start
}

fn read(dir: &Path) -> Vec<Record> {
    let tail = Tail::open(dir).unwrap();
    tail.reader(tail.first()).unwrap().map(|record| record.unwrap()).collect()
}

#[test]
fn what_was_appended_is_read_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("events");
    let mut expected = Vec::new();
    for round in 0..5 {
        let (mut journal, opened) = Journal::open(&dir, options()).unwrap();
        assert_eq!((opened.is_new, opened.cut_bytes, opened.next), (round == 0, 0, journal.next()));
        for i in 0..20_u32 {
            let mut record = record(&format!("m{i}"), &"body ".repeat(i as usize * 3), i % 3 + 1);
            record.first = append(&mut journal, &record);
            expected.push(record);
        }
    }
    assert!(Tail::open(&dir).unwrap().segments().len() > 5);
    assert_eq!(read(&dir), expected);
    let tail = Tail::open(&dir).unwrap();
    let mut backward: Vec<Record> = tail.backward(u64::MAX).map(|record| record.unwrap()).collect();
    backward.reverse();
    assert_eq!(backward, expected);
    for number in 0..tail.next() {
        let first = tail.reader(number).unwrap().next().unwrap().unwrap();
        assert!(first.first <= number && number < first.next());
        let last = tail.backward(number + 1).next().unwrap().unwrap();
        assert_eq!(first, last);
    }
}

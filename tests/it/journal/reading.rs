//! Reading: forwards from any number, backwards, following a writer, under retention, and from a copy.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use sequor::journal::{Journal, JournalError, NewRecord, Options, Pruned, Record, Retention, Tail, verify};

use super::{Random, Unsynced, append, read, read_tail};

fn options() -> Options {
    Options { segment_bytes: 2_000, compress_from: 64, disk: Arc::new(Unsynced), ..Options::default() }
}

/// A journal of many small segments and the records in it.
fn filled(dir: &std::path::Path, start: u64) -> (Journal, Vec<Record>) {
    let (mut journal, _) = Journal::open(dir, Options { start, ..options() }).unwrap();
    let (mut random, mut all) = (Random(7), Vec::new());
    for _ in 0..60 {
        let records = random.records(journal.next(), 400);
        append(&mut journal, &records).unwrap();
        all.extend(records);
    }
    assert!(journal.tail().segments().len() > 8);
    (journal, all)
}

#[test]
fn every_number_is_found_forwards_and_backwards() {
    let temporary = tempfile::tempdir().unwrap();
    let (journal, all) = filled(temporary.path(), 5);
    for tail in [journal.tail().clone(), Tail::open(temporary.path()).unwrap()] {
        assert_eq!((tail.first(), tail.next()), (5, all.last().unwrap().next()));
        for number in 5..tail.next() {
            let at = all.iter().position(|record| record.next() > number).unwrap();
            let forwards: Vec<Record> = tail.reader(number).unwrap().map(Result::unwrap).collect();
            assert_eq!(forwards, all[at..], "from {number}");
            let backwards: Vec<Record> = tail.backward(number + 1).map(Result::unwrap).collect();
            assert!(backwards.iter().eq(all[..=at].iter().rev()), "before {number} + 1");
        }
        assert_eq!(tail.reader(tail.next()).unwrap().count(), 0);
        assert_eq!(tail.backward(5).count(), 0);
        assert_eq!(tail.backward(u64::MAX).count(), all.len());
        assert!(matches!(tail.reader(4), Err(JournalError::Pruned { from: 4, first: 5 })));
    }
}

/// The index has an entry every 64 KiB: with segments of several such stretches.
#[test]
fn large_segments_are_read_from_the_middle() {
    let temporary = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 20, compress_from: usize::MAX, ..options() };
    let (mut journal, _) = Journal::open(temporary.path(), options).unwrap();
    let (mut random, mut all) = (Random(3), Vec::new());
    for i in 0..400 {
        let mut record = random.record(journal.next(), 9_000);
        // Some are larger than a block that is read at once.
        record.body.resize(if i % 100 == 50 { 3 << 20 } else { record.body.len() }, 1);
        let new = NewRecord { count: record.count, meta: &record.meta, body: &record.body };
        journal.append(&[new]).unwrap();
        all.push(record);
    }
    assert!(journal.tail().segments().len() > 3);
    for tail in [journal.tail().clone(), Tail::open(temporary.path()).unwrap()] {
        for at in (0..all.len()).step_by(7) {
            let mut reader = tail.reader(all[at].first).unwrap();
            assert!(
                all[at..].iter().take(60).eq(reader
                    .by_ref()
                    .take(60)
                    .map(Result::unwrap)
                    .collect::<Vec<_>>()
                    .iter())
            );
            let backwards: Vec<Record> = tail.backward(all[at].next()).take(30).map(Result::unwrap).collect();
            assert!(backwards.iter().eq(all[..=at].iter().rev().take(30)));
        }
    }
    drop(journal);
    assert_eq!(read(temporary.path()).unwrap(), all);
}

#[test]
fn a_reader_follows_the_writer_over_segments_and_sees_only_what_is_durable() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(temporary.path(), options()).unwrap();
    let (tail, mut random, mut all) = (journal.tail().clone(), Random(1), Vec::new());
    let follower = std::thread::spawn(move || {
        let (mut reader, mut seen) = (tail.reader(0).unwrap(), Vec::new());
        loop {
            seen.extend(reader.by_ref().map(Result::unwrap));
            if !tail.wait_for(reader.number(), Duration::from_secs(60)) && reader.number() == tail.next() {
                return seen;
            }
        }
    });
    let mut early = journal.tail().reader(0).unwrap();
    assert!(early.next().is_none());
    for _ in 0..300 {
        let records = random.records(journal.next(), 300);
        let numbers = super::write(&mut journal, &records);
        numbers.unwrap();
        if random.below(3) > 0 {
            assert!(journal.tail().next() <= records[0].first, "what is not synced cannot be seen");
            continue_unsynced(&mut journal, &mut random, &mut all, records);
        } else {
            all.extend(records);
            journal.sync().unwrap();
        }
    }
    journal.sync().unwrap();
    assert_eq!(early.by_ref().map(Result::unwrap).collect::<Vec<_>>(), all);
    drop(journal);
    assert_eq!(follower.join().unwrap(), all);
}

/// A second write before the sync.
fn continue_unsynced(
    journal: &mut Journal,
    random: &mut Random,
    all: &mut Vec<Record>,
    written: Vec<Record>,
) {
    all.extend(written);
    let records = random.records(journal.next(), 300);
    super::write(journal, &records).unwrap();
    all.extend(records);
    journal.sync().unwrap();
}

#[test]
fn retention_deletes_whole_segments_by_size_and_age_and_never_what_is_needed() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let (mut journal, all) = filled(dir, 0);
    let segments = journal.tail().segments();
    assert_eq!(journal.prune(segments[0].next - 1).unwrap(), Pruned::default());
    assert_eq!(
        journal.prune(segments[1].next).unwrap(),
        Pruned { segments: 2, bytes: segments[0].bytes + segments[1].bytes }
    );
    assert_eq!(journal.first(), segments[2].first);
    let mut reader = journal.tail().reader(segments[2].first).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().first, segments[2].first);

    let none = journal.retain(&Retention::default(), u64::MAX).unwrap();
    assert_eq!(none, Pruned::default());
    let small =
        Retention { bytes_max: Some(segments[5..].iter().map(|s| s.bytes).sum()), ..Retention::default() };
    assert_eq!(journal.retain(&small, segments[3].next - 1).unwrap().segments, 1);
    assert_eq!(journal.retain(&small, u64::MAX).unwrap().segments, 2);
    assert_eq!(journal.first(), segments[5].first);
    // A reader that was behind gives what it had begun, and is told.
    let (given, told): (Vec<_>, Vec<_>) = reader.partition(Result::is_ok);
    assert_eq!(given.last().unwrap().as_ref().unwrap().next(), segments[2].next);
    assert!(
        matches!(told[..], [Err(JournalError::Pruned { from, first })]
            if from == segments[2].next && first == segments[5].first),
        "{told:?}"
    );

    let old =
        fs::File::options().write(true).open(dir.join(format!("{:020}.log", segments[5].first))).unwrap();
    old.set_modified(segments[5].modified - Duration::from_secs(100)).unwrap();
    let (mut journal, _) = {
        drop(journal);
        Journal::open(dir, options()).unwrap()
    };
    let young = |seconds| Retention {
        keep_since: Some(segments[5].modified - Duration::from_secs(seconds)),
        ..Retention::default()
    };
    assert_eq!(journal.retain(&young(200), u64::MAX).unwrap().segments, 0);
    assert_eq!(journal.retain(&young(50), u64::MAX).unwrap().segments, 1);

    // The segment that is being written stays, whatever is asked.
    let nothing = Retention { bytes_max: Some(0), ..Retention::default() };
    journal.retain(&nothing, u64::MAX).unwrap();
    let last = segments.last().unwrap().first;
    assert_eq!(journal.first(), last);
    assert_eq!(journal.next(), all.last().unwrap().next());
    drop(journal);
    let at = all.iter().position(|record| record.first == last).unwrap();
    assert_eq!(read(dir).unwrap(), all[at..]);
}

#[test]
fn a_copy_has_everything_below_a_number_and_can_be_opened_and_written() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut journal, all) = filled(&temporary.path().join("journal"), 0);
    journal.prune(journal.tail().segments()[2].first).unwrap();
    let begin = all.iter().position(|record| record.first == journal.first()).unwrap();
    for below in journal.first()..=journal.next() {
        let to = temporary.path().join(format!("copy-{below}"));
        let next = journal.tail().copy(&to, below).unwrap();
        assert!(next >= below && next < below + 20, "{next} is the end of the frame that has {below} - 1");
        let (mut copy, opened) = Journal::open(&to, options()).unwrap();
        assert_eq!((opened.first, opened.next, opened.cut_bytes), (journal.first(), next, 0));
        assert_eq!(verify(&to).unwrap().next, next);
        let end = all.iter().position(|record| record.first >= next).unwrap_or(all.len());
        assert_eq!(read_tail(copy.tail()).unwrap(), all[begin..end]);
        append(&mut copy, &Random(1).records(next, 100)).unwrap();
    }
    // Neither does a cut of the one change the other.
    let to = temporary.path().join("copy");
    journal.tail().copy(&to, u64::MAX).unwrap();
    let (mut copy, _) = Journal::open(&to, options()).unwrap();
    copy.cut(copy.tail().segments()[1].first + 3).unwrap();
    let more = Random(2).records(copy.next(), 300);
    append(&mut copy, &more).unwrap();
    assert_eq!(read_tail(copy.tail()).unwrap().last().unwrap().next(), copy.next());
    // What is written to a copy does not show in the journal, though they share files.
    assert_eq!(read_tail(journal.tail()).unwrap(), all[begin..]);
    let again = journal.tail().copy(&temporary.path().join("copy-9999"), 0);
    assert_eq!(again.unwrap(), journal.first());
    let error = journal.tail().copy(&temporary.path().join("journal"), 0);
    assert!(matches!(error, Err(JournalError::NotEmpty { .. })));
}

#[test]
fn what_cannot_be_appended_is_refused_and_changes_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(temporary.path(), options()).unwrap();
    let none = NewRecord { count: 0, meta: b"", body: b"x" };
    assert!(matches!(journal.append(&[none]), Err(JournalError::NoNumbers)));
    let one = NewRecord { count: u32::MAX, meta: b"", body: b"" };
    assert_eq!(journal.append(&[one, one]).unwrap(), 0..2 * u64::from(u32::MAX));
    assert_eq!(journal.append(&[]).unwrap(), journal.next()..journal.next());
    drop(journal);
    let (mut journal, _) =
        Journal::open(&temporary.path().join("late"), Options { start: u64::MAX - 1, ..options() }).unwrap();
    assert!(journal.append(&[one]).is_err(), "the numbers are used up");
    assert_eq!(journal.append(&[NewRecord { count: 1, ..one }]).unwrap(), u64::MAX - 1..u64::MAX);
}

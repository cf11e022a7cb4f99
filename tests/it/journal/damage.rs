//! Damage: every single bit, every length and every missing file of a small journal is noticed, and never read as something
//! that was not written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sequor::journal::{Journal, JournalError, NewRecord, Opened, Options, Record, Tail, verify};

use super::{Unsynced, read, read_tail};

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn options(known_next: Option<u64>) -> Options {
    Options {
        segment_bytes: 300,
        compress_from: 64,
        known_next,
        disk: Arc::new(Unsynced),
        ..Options::default()
    }
}

fn files(dir: &Path) -> Files {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Writes a file anew: some file systems would sync one that is emptied first, and that takes its time.
fn put(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

/// Makes the folder what it was, where it is not.
fn restore(dir: &Path, whole: &Files) {
    for (path, bytes) in files(dir) {
        match whole.get(&path) {
            None => fs::remove_file(path).unwrap(),
            Some(right) if *right != bytes => put(path, right),
            Some(_) => {}
        }
    }
    for (path, bytes) in whole.iter().filter(|(path, _)| !path.exists()) {
        put(path, bytes);
    }
}

/// A journal of three sealed segments and one that is being written, pruned once; its files and records.
fn whole(dir: &Path) -> (Files, Vec<Record>) {
    let (mut journal, _) = Journal::open(dir, options(None)).unwrap();
    for i in 0..8_u8 {
        let (meta, body) = ([i; 3], [b'a' + i; 80]);
        let new = NewRecord { count: 2, meta: &meta, body: &body[..usize::from(i) * 9] };
        journal.append(&[new]).unwrap();
        if i % 2 == 1 {
            journal.roll().unwrap();
        }
    }
    journal.append(&[NewRecord { count: 1, meta: b"", body: b"last but one" }]).unwrap();
    journal.append(&[NewRecord { count: 1, meta: b"", body: b"last" }]).unwrap();
    let second = journal.tail().segments()[1].first;
    journal.prune(second).unwrap();
    assert!(journal.tail().segments().len() >= 4);
    drop(journal);
    (files(dir), read(dir).unwrap())
}

/// What a damaged journal gives must be what was written, as far as it gives anything; and someone must notice: whoever
/// checks it, or else whoever opens it and knows how far it had reached.
fn assert_noticed(dir: &Path, records: &[Record], what: &str) {
    let next = records.last().unwrap().next();
    let is_whole = verify(dir).is_ok_and(|verified| verified.torn_bytes == 0 && verified.next == next);
    assert!(!is_whole, "{what}: the check finds nothing");
    if let Ok(tail) = Tail::open(dir) {
        for record in tail.reader(tail.first()).into_iter().flatten().map_while(Result::ok) {
            assert!(records.contains(&record), "{what}: {record:?} was never written");
        }
        for record in tail.backward(u64::MAX).map_while(Result::ok) {
            assert!(records.contains(&record), "{what}: {record:?} was never written");
        }
    }
    let before = files(dir);
    match Journal::open(dir, options(Some(next))) {
        Err(error) => {
            assert!(error.to_string().len() > 20, "{what}: {error}");
            assert_eq!(files(dir), before, "{what}: {error}, but something was changed");
        }
        // Segments that are not the last are read when they are needed.
        Ok((journal, opened)) => {
            assert!(read_tail(journal.tail()).is_err() || opened.cut_bytes > 0, "{what}: silently wrong");
        }
    }
}

#[test]
fn every_bit_every_length_and_every_file_is_noticed() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("journal");
    let (whole, records) = whole(&dir);
    for (path, bytes) in &whole {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            put(path, damaged);
            assert_noticed(&dir, &records, &format!("{name}: bit {bit}"));
            restore(&dir, &whole);
        }
        for len in 0..bytes.len() {
            put(path, &bytes[..len]);
            assert_noticed(&dir, &records, &format!("{name}: {len} bytes of it"));
            restore(&dir, &whole);
        }
        for begin in (0..bytes.len()).step_by(16) {
            let mut damaged = bytes.clone();
            damaged[begin..].iter_mut().take(64).for_each(|byte| *byte = 0);
            put(path, damaged);
            assert_noticed(&dir, &records, &format!("{name}: zeros from {begin}"));
            restore(&dir, &whole);
        }
        for other in whole.keys().filter(|other| *other != path && !whole[*other].is_empty()) {
            put(path, &whole[other]);
            if !bytes.is_empty() {
                assert_noticed(&dir, &records, &format!("{name}: holds {}", other.display()));
            }
            restore(&dir, &whole);
        }
        fs::remove_file(path).unwrap();
        assert_noticed(&dir, &records, &format!("{name}: missing"));
        assert!(matches!(
            Journal::open(&dir, options(None)),
            Err(JournalError::Missing { .. } | JournalError::Damaged { .. })
        ));
        restore(&dir, &whole);
    }
    assert_eq!(read(&dir).unwrap(), records);
}

fn last_segment(whole: &Files) -> (&PathBuf, &Vec<u8>) {
    whole.iter().rfind(|(path, _)| path.extension().is_some()).unwrap()
}

#[test]
fn a_torn_end_is_cut_and_told() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("journal");
    let (whole, records) = whole(&dir);
    let (path, bytes) = last_segment(&whole);
    for tail in [vec![0; 1], vec![0; 4096], vec![0xf5; 100], bytes[bytes.len() - 30..].to_vec()] {
        let torn = [&bytes[..], &tail].concat();
        put(path, &torn);
        assert_eq!(read(&dir).unwrap(), records);
        assert_eq!(fs::read(path).unwrap(), torn, "reading changes nothing");
        let (journal, opened) = Journal::open(&dir, options(None)).unwrap();
        let next = records.last().unwrap().next();
        assert_eq!(
            opened,
            Opened {
                is_new: false,
                first: records[0].first,
                next,
                cut_bytes: tail.len() as u64,
                cut_at: bytes.len() as u64,
                path: path.clone()
            }
        );
        assert_eq!(read_tail(journal.tail()).unwrap(), records);
        assert_eq!(fs::read(path).unwrap(), *bytes);
    }
}

/// Of writes without a sync between them a power cut can lose the first and keep the second. That is no damage.
#[test]
fn of_several_unsynced_frames_any_may_be_torn() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("journal");
    let options = || Options { segment_bytes: 10_000, ..options(None) };
    let (mut journal, _) = Journal::open(&dir, options()).unwrap();
    let new = |body| NewRecord { count: 1, meta: b"", body };
    journal.append(&[new(b"synced")]).unwrap();
    let synced = fs::metadata(dir.join(format!("{:020}.log", 0))).unwrap().len() as usize;
    journal.write(&[new(b"one")]).unwrap();
    journal.write(&[new(b"two")]).unwrap();
    drop(journal);
    let (path, mut bytes) = files(&dir).pop_first().unwrap();
    bytes[synced + 50] ^= 1;
    put(&path, &bytes);
    let (mut journal, opened) = Journal::open(&dir, options()).unwrap();
    assert_eq!((opened.next, opened.cut_at), (1, synced as u64));
    // Once synced, the same is damage.
    for body in [b"one", b"two"] {
        journal.append(&[new(body)]).unwrap();
    }
    drop(journal);
    bytes = fs::read(&path).unwrap();
    bytes[synced + 50] ^= 1;
    put(&path, &bytes);
    let error = Journal::open(&dir, options()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { offset, .. } if offset == synced as u64), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("00000000000000000000.log is damaged at byte") && text.contains("backup"),
        "{text}"
    );
}

/// What somebody sends as an event cannot pass for a frame that says that what is torn was durable.
#[test]
fn a_frame_within_a_body_is_no_frame() {
    let temporary = tempfile::tempdir().unwrap();
    let other = temporary.path().join("other");
    let options = || Options { segment_bytes: 10_000, compress_from: usize::MAX, ..options(None) };
    let (mut journal, _) = Journal::open(&other, options()).unwrap();
    for _ in 0..5 {
        journal.append(&[NewRecord { count: 1, meta: b"", body: &[7; 500] }]).unwrap();
    }
    drop(journal);
    let (_, frames) = files(&other).pop_first().unwrap();
    let dir = temporary.path().join("journal");
    let (mut journal, _) = Journal::open(&dir, options()).unwrap();
    journal.append(&[NewRecord { count: 1, meta: b"", body: &frames }]).unwrap();
    drop(journal);
    let (path, mut bytes) = files(&dir).pop_first().unwrap();
    bytes.truncate(bytes.len() - 1);
    put(path, bytes);
    let (_, opened) = Journal::open(&dir, options()).unwrap();
    assert_eq!((opened.next, opened.cut_at), (0, 32));
}

#[test]
fn a_newer_format_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("journal");
    let (whole, _) = whole(&dir);
    let (path, bytes) = last_segment(&whole);
    let mut newer = bytes.clone();
    newer[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32fast::hash(&newer[..28]);
    newer[28..32].copy_from_slice(&crc.to_le_bytes());
    put(path, newer);
    let error = Journal::open(&dir, options(None)).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 2, known: 1, .. }), "{error}");
    // Also of a single frame.
    let salt = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    let mut newer = bytes.clone();
    newer[32 + 16] = 2;
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&newer[32 + 8..32 + 48]);
    newer[32 + 4..32 + 8].copy_from_slice(&hasher.finalize().to_le_bytes());
    put(path, newer);
    let error = Journal::open(&dir, options(None)).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 2, .. }), "{error}");
}

/// A segment that was begun when the power went, before its header was durable, is begun again.
#[test]
fn a_segment_that_was_only_begun_is_no_error() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("journal");
    let (mut journal, _) = Journal::open(&dir, options(None)).unwrap();
    journal.append(&[NewRecord { count: 3, meta: b"", body: b"body" }]).unwrap();
    drop(journal);
    let records = read(&dir).unwrap();
    for begun in [&b""[..], &[0; 10], &[0; 32], &[7; 32]] {
        put(dir.join(format!("{:020}.log", 3)), begun);
        let (journal, opened) = Journal::open(&dir, options(None)).unwrap();
        assert_eq!((opened.next, opened.cut_bytes, files(&dir).len()), (3, 0, 2));
        assert_eq!(read_tail(journal.tail()).unwrap(), records);
    }
    // One with a header and nothing else, after a seal, is the one to be written.
    let (mut journal, _) = Journal::open(&dir, options(None)).unwrap();
    journal.roll().unwrap();
    drop(journal);
    let (journal, opened) = Journal::open(&dir, options(None)).unwrap();
    assert_eq!((opened.next, journal.tail().segments().len()), (3, 2));
    // A new journal of which that is all.
    let new = temporary.path().join("new");
    fs::create_dir(&new).unwrap();
    put(new.join(format!("{:020}.log", 9)), b"");
    let (_, opened) = Journal::open(&new, options(None)).unwrap();
    assert!(opened.is_new && opened.next == 0);
    let (_, opened) = Journal::open(&new, options(None)).unwrap();
    assert!(!opened.is_new && opened.next == 0);
}

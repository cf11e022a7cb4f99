//! A disk that fails: no space, a failed sync, a limit of the system. What was acknowledged stays, what failed is not there,
//! and it goes on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use sequor::journal::{Disk, DiskFile, Journal, JournalError, NewRecord, Options, RealDisk, Record, verify};

use super::{Random, append, read, read_tail};

/// A disk with room for some bytes, and one whose operations can be made to fail.
#[derive(Debug, Default)]
struct Failing {
    /// How many bytes can be written before there is no space left.
    room: AtomicU64,
    /// Which operation fails, counted down; 0 for none.
    fails_at: AtomicU64,
    /// Whether all after that one fail, too.
    stays_broken: AtomicBool,
}

impl Failing {
    fn operation(&self) -> io::Result<()> {
        match self.fails_at.load(SeqCst) {
            0 => Ok(()),
            1 => {
                if !self.stays_broken.load(SeqCst) {
                    self.fails_at.store(0, SeqCst);
                }
                Err(io::Error::other("the disk is broken"))
            }
            left => {
                self.fails_at.store(left - 1, SeqCst);
                Ok(())
            }
        }
    }
}

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.operation()?;
        RealDisk.create(path)
    }

    fn write(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(SeqCst);
        let fits = room.min(bytes.len() as u64);
        RealDisk.write(file, offset, &bytes[..fits as usize])?;
        self.room.store(room - fits, SeqCst);
        if fits < bytes.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.operation()
    }

    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        self.operation()?;
        RealDisk.set_len(file, len)
    }

    fn sync(&self, _: &DiskFile) -> io::Result<()> {
        self.operation()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.operation()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation()?;
        RealDisk.remove(path)
    }
}

fn options(disk: &Arc<Failing>) -> Options {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    Options { segment_bytes: 1_000, compress_from: 64, disk, ..Options::default() }
}

#[test]
fn a_full_disk_is_told_and_once_there_is_space_it_goes_on() {
    let mut full = 0;
    for room in (0..2_600).step_by(5) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("journal");
        let disk = Arc::new(Failing { room: room.into(), ..Failing::default() });
        let mut journal = loop {
            match Journal::open(&dir, options(&disk)) {
                Ok((journal, _)) => break journal,
                Err(error) => assert!(error.is_disk_full(), "{error}"),
            }
            disk.room.store(u64::MAX, SeqCst);
        };
        let (mut random, mut all) = (Random(5), Vec::<Record>::new());
        for _ in 0..8 {
            let records = random.records(journal.next(), 200);
            if let Err(error) = append(&mut journal, &records) {
                assert!(error.is_disk_full() && error.to_string().contains("no space left"), "{error}");
                assert_eq!(read_tail(journal.tail()).unwrap(), all);
                assert_eq!(read(&dir).unwrap(), all, "what failed is not there");
                full += 1;
                disk.room.store(u64::MAX, SeqCst);
                append(&mut journal, &records).unwrap();
            }
            all.extend(records);
        }
        assert_eq!(read_tail(journal.tail()).unwrap(), all);
        drop(journal);
        assert_eq!(read(&dir).unwrap(), all);
        assert_eq!(verify(&dir).unwrap().torn_bytes, 0);
    }
    assert!(full > 300, "{full}");
}

#[test]
fn whichever_operation_fails_once_or_for_good_nothing_acknowledged_is_lost() {
    let (mut failed, mut poisoned) = (0, 0);
    for (fails_at, stays_broken) in (1..120).flat_map(|at| [(at, false), (at, true)]) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("journal");
        let disk = Arc::new(Failing { room: u64::MAX.into(), ..Failing::default() });
        let (mut journal, _) = Journal::open(&dir, options(&disk)).unwrap();
        disk.stays_broken.store(stays_broken, SeqCst);
        disk.fails_at.store(fails_at, SeqCst);
        let (mut random, mut all) = (Random(6), Vec::<Record>::new());
        let kept = |all: &[Record], from| all.iter().filter(|r| r.first >= from).cloned().collect::<Vec<_>>();
        for step in 0..20 {
            let records = random.records(journal.next(), 200);
            let appended = append(&mut journal, &records);
            assert_eq!(journal.tail().next(), journal.durable_next());
            match appended {
                Ok(()) => all.extend(records),
                Err(error) => {
                    failed += 1;
                    assert_eq!(read_tail(journal.tail()).unwrap(), kept(&all, journal.first()));
                    if stays_broken {
                        let error = append(&mut journal, &records).unwrap_err();
                        let is_poisoned = matches!(error, JournalError::Poisoned { .. });
                        poisoned += usize::from(is_poisoned);
                        disk.fails_at.store(0, SeqCst);
                    } else {
                        assert!(!matches!(error, JournalError::Poisoned { .. }), "{error}");
                    }
                    append(&mut journal, &records).unwrap();
                    all.extend(records);
                }
            }
            if step % 6 == 5 {
                let below = journal.next() / 2;
                if journal.prune(below).is_err() {
                    failed += 1;
                    disk.fails_at.store(0, SeqCst);
                    journal.prune(below).unwrap();
                }
            }
        }
        assert_eq!(read_tail(journal.tail()).unwrap(), kept(&all, journal.first()), "failure {fails_at}");
        drop(journal);
        disk.fails_at.store(0, SeqCst);
        let (mut journal, opened) = Journal::open(&dir, options(&disk)).unwrap();
        assert_eq!((opened.next, opened.cut_bytes), (all.last().unwrap().next(), 0));
        assert_eq!(read_tail(journal.tail()).unwrap(), kept(&all, opened.first), "failure {fails_at}");
        journal.prune(journal.next()).unwrap();
        drop(journal);
        assert!(read(&dir).unwrap().len() < 20);
    }
    assert!(failed > 100 && poisoned > 30, "{failed} {poisoned}");
}

/// After a failed sync, what was written before it may be gone, though the next sync succeeds: none of it may stay.
#[test]
fn a_failed_sync_takes_back_every_write_since_the_last() {
    let temporary = tempfile::tempdir().unwrap();
    let disk = Arc::new(Failing { room: u64::MAX.into(), ..Failing::default() });
    let (mut journal, _) = Journal::open(temporary.path(), options(&disk)).unwrap();
    let new = |body| NewRecord { count: 1, meta: b"", body };
    journal.append(&[new(b"synced")]).unwrap();
    journal.write(&[new(b"one")]).unwrap();
    journal.write(&[new(b"two")]).unwrap();
    disk.fails_at.store(1, SeqCst);
    let error = journal.sync().unwrap_err();
    assert!(
        error.to_string().contains("cannot sync") && error.to_string().contains("the disk is broken"),
        "{error}"
    );
    assert_eq!((journal.next(), journal.durable_next()), (1, 1));
    assert_eq!(journal.append(&[new(b"three")]).unwrap(), 1..2);
    let bodies = |records: Vec<Record>| records.into_iter().map(|record| record.body).collect::<Vec<_>>();
    assert_eq!(bodies(read_tail(journal.tail()).unwrap()), [&b"synced"[..], b"three"]);
    drop(journal);
    assert_eq!(bodies(read(temporary.path()).unwrap()), [&b"synced"[..], b"three"]);
}

/// A cut that failed in the middle is as it was or done once the journal is opened again, and nothing goes on before.
#[test]
fn whichever_operation_of_a_cut_fails_it_is_finished_or_not_begun() {
    let (mut cut, mut whole) = (0, 0);
    for fails_at in 1.. {
        let temporary = tempfile::tempdir().unwrap();
        let disk = Arc::new(Failing { room: u64::MAX.into(), ..Failing::default() });
        let (mut journal, _) = Journal::open(temporary.path(), options(&disk)).unwrap();
        let new = NewRecord { count: 1, meta: b"", body: &[1; 40] };
        for _ in 0..40 {
            journal.append(&[new]).unwrap();
        }
        assert!(journal.tail().segments().len() > 3);
        disk.fails_at.store(fails_at, SeqCst);
        let error = match journal.cut(7) {
            Ok(next) => {
                assert!(next == 7 && fails_at > 5);
                break;
            }
            Err(error) => error,
        };
        assert!(matches!(error, JournalError::Io { .. }), "{error}");
        disk.fails_at.store(0, SeqCst);
        let error = journal.append(&[new]).unwrap_err();
        assert!(error.to_string().contains("opened again"), "{error}");
        drop(journal);
        let (mut journal, opened) = Journal::open(temporary.path(), options(&disk)).unwrap();
        assert_eq!(read_tail(journal.tail()).unwrap().len() as u64, opened.next);
        match opened.next {
            7 => cut += 1,
            40 => whole += 1,
            next => panic!("it ends at {next}"),
        }
        journal.append(&[new]).unwrap();
        drop(journal);
        assert_eq!(read(temporary.path()).unwrap().len() as u64, opened.next + 1);
    }
    assert!(cut > 3 && whole > 0, "{cut} {whole}");
}

const CHILD: &str = "SEQUOR_JOURNAL_CHILD";

/// The system's own limit of a file's size, in a process of its own: a real write that ends in the middle.
#[cfg(unix)]
#[test]
fn a_write_that_the_system_ends_in_the_middle_is_taken_back() {
    if let Ok(dir) = std::env::var(CHILD) {
        let options = Options { segment_bytes: 1 << 30, compress_from: usize::MAX, ..Options::default() };
        let (mut journal, _) = Journal::open(Path::new(&dir), options).unwrap();
        let new = NewRecord { count: 1, meta: b"", body: &[1; 3_000] };
        let error = (0..100).find_map(|_| journal.append(&[new]).err()).expect("a limit");
        assert!(matches!(error, JournalError::Io { doing: "write", .. }), "{error}");
        assert!(journal.next() > 1 && read_tail(journal.tail()).unwrap().len() as u64 == journal.next());
        journal.append(&[NewRecord { body: b"small", ..new }]).unwrap();
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let test = "a_write_that_the_system_ends_in_the_middle_is_taken_back";
    let limited = "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\"";
    let child = std::process::Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--nocapture"])
        .env(CHILD, temporary.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let records = read(temporary.path()).unwrap();
    assert!(records.len() > 2 && records.last().unwrap().body == b"small");
    assert_eq!(verify(temporary.path()).unwrap().torn_bytes, 0);
}

//! Group commit: many threads, one sync for all that waits, and refusal where too much does.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};

use sequor::journal::commit::{GroupCommit, Limits, Refused, Reply, Submitter};
use sequor::journal::{Disk, DiskFile, EncodedRecord, Journal, Options, Record};

use super::{Random, Unsynced, read_tail};

/// A disk whose syncs are counted, and wait to be let through where there is a gate.
#[derive(Debug, Default)]
struct Gated {
    syncs: AtomicUsize,
    fails: AtomicBool,
    gate: Mutex<Option<Gate>>,
}

#[derive(Debug)]
struct Gate {
    entered: mpsc::Sender<()>,
    leave: mpsc::Receiver<()>,
}

impl Disk for Gated {
    fn sync(&self, _: &DiskFile) -> io::Result<()> {
        self.syncs.fetch_add(1, SeqCst);
        if let Some(gate) = &*self.gate.lock().unwrap() {
            gate.entered.send(()).unwrap();
            // Once the other end is dropped, the gate is open.
            let _ = gate.leave.recv();
        }
        if self.fails.swap(false, SeqCst) { Err(io::Error::other("broken")) } else { Ok(()) }
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

fn open(dir: &Path, disk: Arc<dyn Disk>) -> Journal {
    Journal::open(dir, Options { segment_bytes: 1 << 20, disk, ..Options::default() }).unwrap().0
}

/// Hands over a record; its answer comes out of the channel.
fn submit(to: &Submitter, journal: usize, record: &Record) -> Result<mpsc::Receiver<Reply>, Refused> {
    let (sender, receiver) = mpsc::channel();
    let encoded = EncodedRecord::new(record.count, &record.meta, &record.body, 64).unwrap();
    to.try_submit(journal, encoded, move |reply| sender.send(reply).unwrap())?;
    Ok(receiver)
}

#[test]
fn many_threads_get_numbers_without_gaps_in_several_journals() {
    let temporary = tempfile::tempdir().unwrap();
    let dirs = ["a", "b"].map(|name| temporary.path().join(name));
    let journals = dirs.iter().map(|dir| open(dir, Arc::new(Unsynced))).collect();
    let limits = Limits { queued_bytes_max: 20_000, queued_max: 64, commit_bytes: 5_000 };
    let commit = GroupCommit::start("commit", journals, limits).unwrap();
    let (got, refused) = (Mutex::new(vec![Vec::new(), Vec::new()]), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (to, got, refused) = (commit.submitter(), &got, &refused);
            scope.spawn(move || {
                let mut random = Random(thread);
                let mut waiting: Vec<(usize, Record, mpsc::Receiver<Reply>)> = Vec::new();
                for _ in 0..300 {
                    let (journal, record) = (random.below(2), random.record(0, 1_000));
                    let receiver = loop {
                        match submit(&to, journal, &record) {
                            Ok(receiver) => break receiver,
                            Err(refusal) => assert_eq!(refusal, Refused::Full),
                        }
                        refused.fetch_add(1, SeqCst);
                        std::thread::yield_now();
                    };
                    waiting.push((journal, record, receiver));
                }
                for (journal, mut record, receiver) in waiting {
                    let numbers: Range<u64> = receiver.recv().unwrap().unwrap();
                    assert_eq!(numbers.end - numbers.start, u64::from(record.count));
                    record.first = numbers.start;
                    got.lock().unwrap()[journal].push(record);
                }
            });
        }
    });
    let journals = commit.stop().unwrap();
    for (journal, mut records) in journals.iter().zip(got.into_inner().unwrap()) {
        records.sort_by_key(|record| record.first);
        assert!(records.len() > 1_000);
        assert_eq!(read_tail(journal.tail()).unwrap(), records);
    }
}

#[test]
fn what_waits_is_synced_at_once_and_too_much_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let disk = Arc::new(Gated::default());
    let journal = open(temporary.path(), Arc::clone(&disk) as Arc<dyn Disk>);
    let tail = journal.tail().clone();
    let (entered, is_in) = mpsc::channel();
    let (let_go, leave) = mpsc::channel();
    *disk.gate.lock().unwrap() = Some(Gate { entered, leave });
    let record = Record { first: 0, count: 2, meta: b"meta".to_vec(), body: vec![1; 50] };
    let bytes = EncodedRecord::new(2, &record.meta, &record.body, 64).unwrap().len() as u64;
    let limits = Limits { queued_bytes_max: 100 * bytes, ..Limits::default() };
    let commit = GroupCommit::start("commit", vec![journal], limits).unwrap();
    let to = commit.submitter();
    let before = disk.syncs.load(SeqCst);
    let mut waiting = vec![submit(&to, 0, &record).unwrap()];
    is_in.recv().unwrap();
    // The writer is in the first sync: what comes now waits for it, and counts until it has been answered.
    while waiting.len() < 100 {
        waiting.push(submit(&to, 0, &record).unwrap());
    }
    assert!(matches!(submit(&to, 0, &record), Err(Refused::Full)));
    assert_eq!(to.queued_bytes(), 100 * bytes);
    assert!(waiting[0].try_recv().is_err() && tail.next() == 0, "nothing is answered before it is durable");
    let_go.send(()).unwrap();
    is_in.recv().unwrap();
    let_go.send(()).unwrap();
    for (i, receiver) in waiting.iter().enumerate() {
        let i = i as u64;
        assert_eq!(receiver.recv().unwrap().unwrap(), i * 2..i * 2 + 2);
    }
    assert_eq!(disk.syncs.load(SeqCst) - before, 2, "one sync for the first and one for all others");

    // What failed is told to each, and the next ones go on with the same numbers.
    disk.fails.store(true, SeqCst);
    let failing = submit(&to, 0, &record).unwrap();
    drop(let_go);
    assert!(failing.recv().unwrap().unwrap_err().to_string().contains("broken"));
    assert_eq!(submit(&to, 0, &record).unwrap().recv().unwrap().unwrap(), 200..202);
    let nowhere = submit(&to, 7, &record).unwrap();
    assert!(nowhere.recv().unwrap().unwrap_err().to_string().contains("place 7"));

    // Between two commits anything may be done on the writer's thread; what was handed over before the stop is written.
    let (sender, receiver) = mpsc::channel();
    to.with(move |journals| sender.send(journals[0].next()).unwrap()).unwrap();
    assert_eq!(receiver.recv().unwrap(), 202);
    let last = submit(&to, 0, &record).unwrap();
    let journals = commit.stop().unwrap();
    assert_eq!(last.recv().unwrap().unwrap(), 202..204);
    assert_eq!(journals[0].next(), 204);
    assert!(matches!(submit(&to, 0, &record), Err(Refused::Stopped)));
    assert_eq!(read_tail(&tail).unwrap().len(), 102);
}

//! Power cuts: a disk that records what is done to it, and from the record what a power cut at any moment may leave.
//!
//! The model of a disk is a strict one. A file's bytes are there as of its last sync; of what was written after it, each
//! sector of 512 bytes is there, or as before, or zeros, or noise. A folder's entries are there as of its last sync; of the
//! creations, renames and deletions after it, some, or the first ones. Controls without syncs must fail.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sequor::journal::{Disk, DiskFile, Journal, Options, RealDisk, Record, verify};

use super::{Random, Unsynced, append, read, write};

const SECTOR_BYTES: usize = 512;

type Files = BTreeMap<PathBuf, Vec<u8>>;

#[derive(Debug, Clone)]
enum Op {
    CreateDir,
    Create(PathBuf),
    Write(PathBuf, usize, Vec<u8>),
    SetLen(PathBuf, usize),
    Sync(PathBuf),
    SyncDir(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// What must be there from here on.
    Expect(Arc<Expected>),
}

/// What a journal holds after a power cut: of these records, those from a number that is at most `first_max` on, at least
/// up to `next_min`.
#[derive(Debug, Clone, Default)]
struct Expected {
    records: Vec<Record>,
    first_max: u64,
    next_min: u64,
}

/// Which syncs are left out, to show that they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    FileSyncs,
    FolderSyncs,
}

#[derive(Debug)]
struct Recorder {
    root: PathBuf,
    without: Without,
    ops: Mutex<Vec<Op>>,
}

impl Recorder {
    fn push(&self, op: Op) {
        self.ops.lock().unwrap().push(op);
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }
}

impl Disk for Recorder {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.push(Op::CreateDir);
        RealDisk.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.push(Op::Create(self.name(path)));
        RealDisk.create(path)
    }

    fn write(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.push(Op::Write(self.name(&file.path), offset as usize, bytes.to_vec()));
        RealDisk.write(file, offset, bytes)
    }

    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        self.push(Op::SetLen(self.name(&file.path), len as usize));
        RealDisk.set_len(file, len)
    }

    fn sync(&self, file: &DiskFile) -> io::Result<()> {
        if self.without != Without::FileSyncs {
            self.push(Op::Sync(self.name(&file.path)));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.without != Without::FolderSyncs {
            self.push(Op::SyncDir(self.name(path)));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.push(Op::Rename(self.name(from), self.name(to)));
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.push(Op::Remove(self.name(path)));
        RealDisk.remove(path)
    }
}

/// A file's bytes as they are for sure, and what was done to it since.
#[derive(Default)]
struct Inode {
    durable: Vec<u8>,
    pending: Vec<Op>,
}

/// What is on the disk: the files by number, the entries of the folder that are durable, what was done to it since, and the
/// entries that the program sees.
#[derive(Default)]
struct Platter {
    inodes: Vec<Inode>,
    entries: BTreeMap<PathBuf, usize>,
    pending: Vec<(Op, usize)>,
    seen: BTreeMap<PathBuf, usize>,
    /// Whether the folder itself is there for sure.
    folder: bool,
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    file.resize(file.len().max(offset + bytes.len()), 0);
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn change(entries: &mut BTreeMap<PathBuf, usize>, op: &Op, inode: usize) {
    match op {
        Op::Create(path) => drop(entries.insert(path.clone(), inode)),
        Op::Rename(from, to) => {
            if let Some(inode) = entries.remove(from) {
                entries.insert(to.clone(), inode);
            }
        }
        Op::Remove(path) => drop(entries.remove(path)),
        _ => unreachable!("no entry changes"),
    }
}

/// All of an operation on a file's bytes.
fn apply(file: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(_, offset, bytes) => put(file, *offset, bytes),
        Op::SetLen(_, len) => file.resize(*len, 0),
        _ => unreachable!("no bytes change"),
    }
}

impl Platter {
    fn new(files: &Files) -> Platter {
        let mut platter = Platter { folder: !files.is_empty(), ..Platter::default() };
        for (path, bytes) in files {
            platter.entries.insert(path.clone(), platter.inodes.len());
            platter.inodes.push(Inode { durable: bytes.clone(), pending: Vec::new() });
        }
        platter.seen = platter.entries.clone();
        platter
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Create(path) => match self.seen.get(path) {
                Some(inode) => self.inodes[*inode].pending.push(Op::SetLen(path.clone(), 0)),
                None => {
                    let inode = self.inodes.len();
                    self.inodes.push(Inode::default());
                    change(&mut self.seen, op, inode);
                    self.pending.push((op.clone(), inode));
                }
            },
            Op::Rename(..) | Op::Remove(_) => {
                change(&mut self.seen, op, 0);
                self.pending.push((op.clone(), 0));
            }
            Op::Write(path, ..) | Op::SetLen(path, _) => {
                self.inodes[self.seen[path]].pending.push(op.clone());
            }
            Op::Sync(path) => {
                let inode = &mut self.inodes[self.seen[path]];
                inode.pending.drain(..).for_each(|op| apply(&mut inode.durable, &op));
            }
            Op::SyncDir(path) if path.as_os_str().is_empty() => self.folder = true,
            Op::SyncDir(_) => {
                for (op, inode) in self.pending.drain(..) {
                    change(&mut self.entries, &op, inode);
                }
            }
            Op::CreateDir | Op::Expect(_) => {}
        }
    }

    /// What the power cut leaves.
    fn cut(mut self, random: &mut Random) -> Files {
        if !self.folder && random.below(2) == 0 {
            return Files::new();
        }
        // The first changes to the folder, or any of them.
        let (in_order, kept) = (random.below(2) == 0, random.below(self.pending.len() + 1));
        for (at, (op, inode)) in self.pending.iter().enumerate() {
            if if in_order { at < kept } else { random.below(2) == 0 } {
                change(&mut self.entries, op, *inode);
            }
        }
        let left = |inode: &Inode, random: &mut Random| {
            let mut file = inode.durable.clone();
            let share = [0, 50, 90, 100][random.below(4)];
            for op in &inode.pending {
                match op {
                    _ if random.below(100) < share => apply(&mut file, op),
                    Op::Write(_, offset, bytes) if random.below(2) == 0 => {
                        tear(&mut file, *offset, bytes, random)
                    }
                    _ => {}
                }
            }
            file
        };
        self.entries.iter().map(|(path, inode)| (path.clone(), left(&self.inodes[*inode], random))).collect()
    }
}

/// Each sector of a write is there, or as it was before, or, where the file had none, zeros or noise.
fn tear(file: &mut Vec<u8>, offset: usize, bytes: &[u8], random: &mut Random) {
    let before = file.len();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min((offset + at) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - offset);
        let is_new = offset + at >= before;
        match random.below(4) {
            0 | 1 => put(file, offset + at, &bytes[at..end]),
            2 if is_new => put(file, offset + at, &random.bytes(end - at)),
            3 if is_new => put(file, offset + at, &vec![0; end - at]),
            _ => {}
        }
        at = end;
    }
}

fn store(files: &Files, root: &Path) {
    fs::create_dir_all(root).unwrap();
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn stored(root: &Path) -> Files {
    let Ok(entries) = fs::read_dir(root.join("journal")) else { return Files::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

/// A random run of a journal, on a recorded disk.
struct Workload {
    recorder: Arc<Recorder>,
    dir: PathBuf,
    expected: Expected,
}

impl Workload {
    fn new(root: &Path, without: Without, expected: Expected) -> Workload {
        fs::create_dir_all(root).unwrap();
        let recorder = Arc::new(Recorder { root: root.to_owned(), without, ops: Mutex::default() });
        let workload = Workload { recorder, dir: root.join("journal"), expected };
        workload.expect();
        workload
    }

    fn expect(&self) {
        self.recorder.push(Op::Expect(Arc::new(self.expected.clone())));
    }

    fn options(&self) -> Options {
        let disk = Arc::clone(&self.recorder) as Arc<dyn Disk>;
        Options { segment_bytes: 6_000, compress_from: 64, disk, ..Options::default() }
    }

    fn acknowledge(&mut self, journal: &Journal) {
        self.expected.next_min = journal.durable_next();
        self.expect();
    }

    fn run(mut self, random: &mut Random, steps: usize) -> Vec<Op> {
        let (mut journal, opened) = Journal::open(&self.dir, self.options()).unwrap();
        // What recovery has kept is durable from now on.
        self.expected.records.retain(|record| record.first < opened.next);
        self.acknowledge(&journal);
        for _ in 0..steps {
            match random.below(12) {
                0 => {
                    drop(journal);
                    (journal, _) = Journal::open(&self.dir, self.options()).unwrap();
                    self.acknowledge(&journal);
                }
                1 => {
                    let below = journal.next() * random.below(100) as u64 / 100;
                    self.expected.first_max = self.expected.first_max.max(below);
                    self.expect();
                    journal.prune(below).unwrap();
                }
                2 => {
                    let first = journal.first();
                    let at = journal.next() - (journal.next() - first) * random.below(40) as u64 / 100;
                    // Either all is there, or what is below.
                    self.expected.next_min = self.expected.next_min.min(at.saturating_sub(20));
                    self.expect();
                    let next = journal.cut(at).unwrap();
                    assert!(next <= at && next + 20 > at);
                    self.expected.records.retain(|record| record.first < next);
                    self.acknowledge(&journal);
                }
                3 => {
                    journal.roll().unwrap();
                    self.acknowledge(&journal);
                }
                4..=5 => {
                    let records = random.records(journal.next(), 700);
                    self.expected.records.extend_from_slice(&records);
                    self.expect();
                    write(&mut journal, &records).unwrap();
                }
                _ => {
                    let records = random.records(journal.next(), 700);
                    self.expected.records.extend_from_slice(&records);
                    self.expect();
                    append(&mut journal, &records).unwrap();
                    self.acknowledge(&journal);
                }
            }
        }
        drop(journal);
        std::mem::take(&mut *self.recorder.ops.lock().unwrap())
    }
}

/// A moment for a power cut: any, or right before a sync.
fn moment(ops: &[Op], random: &mut Random) -> usize {
    let any = random.below(ops.len() + 1);
    let is_sync = |op: &Op| matches!(op, Op::Sync(_) | Op::SyncDir(_));
    let sync = ops[any..].iter().position(is_sync).filter(|_| random.below(2) == 0);
    any + sync.unwrap_or(0)
}

/// What is left of the operations after a power cut behind the first `done`, and what should be. At least what is expected
/// before all of them is done.
fn power_cut(base: &Files, ops: &[Op], done: usize, random: &mut Random) -> (Files, Arc<Expected>) {
    let mut platter = Platter::new(base);
    let done = done.max(1);
    let mut expected = Arc::default();
    for op in &ops[..done] {
        platter.run(op);
        if let Op::Expect(now) = op {
            expected = Arc::clone(now);
        }
    }
    (platter.cut(random), expected)
}

/// Opens what a power cut has left, and says what is wrong with it, or else how much was torn.
fn check(root: &Path, expected: &Expected) -> Result<u64, String> {
    let dir = root.join("journal");
    let (disk, known_next) = (Arc::new(Unsynced), Some(expected.next_min));
    let options = Options { known_next, segment_bytes: 6_000, disk, ..Options::default() };
    let (mut journal, opened) = Journal::open(&dir, options).map_err(|e| format!("cannot open: {e}"))?;
    if opened.next < expected.next_min || opened.first > expected.first_max {
        return Err(format!("lost: {opened:?}"));
    }
    let within = |record: &&Record| record.first >= opened.first && record.first < opened.next;
    let wanted: Vec<Record> = expected.records.iter().filter(within).cloned().collect();
    let found = read(&dir).map_err(|e| format!("cannot read: {e}"))?;
    if found != wanted {
        return Err(format!("{} records where {} should be", found.len(), wanted.len()));
    }
    // It goes on, and nothing that was cut comes back.
    let more = Random(1).records(opened.next, 300);
    append(&mut journal, &more).map_err(|e| format!("cannot append: {e}"))?;
    drop(journal);
    let found = read(&dir).map_err(|e| format!("cannot read again: {e}"))?;
    let verified = verify(&dir).map_err(|e| format!("not whole: {e}"))?;
    match found == [wanted, more].concat() && verified.torn_bytes == 0 {
        true => Ok(opened.cut_bytes),
        false => Err("something else after appending".to_owned()),
    }
}

/// Goes through random runs and power cuts, a second one after the recovery of each too; gives what went wrong, and in how
/// many states there was a torn end.
fn power_cuts(without: Without, states: usize) -> (Vec<String>, usize) {
    const STATES_PER_RUN: usize = 20;
    let temporary = tempfile::tempdir().unwrap();
    let (mut wrong, mut torn) = (Vec::new(), 0);
    for run in 0..states.div_ceil(2 * STATES_PER_RUN) {
        let mut random = Random(run as u64);
        let root = temporary.path().join(format!("run-{run}"));
        let ops = Workload::new(&root, without, Expected::default()).run(&mut random, 40);
        let mut all = Platter::default();
        ops.iter().for_each(|op| all.run(op));
        all.inodes.iter_mut().for_each(|inode| {
            inode.pending.drain(..).for_each(|op| apply(&mut inode.durable, &op));
        });
        let seen = all.seen.iter().map(|(path, inode)| (path.clone(), all.inodes[*inode].durable.clone()));
        assert_eq!(seen.collect::<Files>(), stored(&root), "the record is what was done");
        for state in 0..STATES_PER_RUN {
            let done = moment(&ops, &mut random);
            let (files, expected) = power_cut(&Files::new(), &ops, done, &mut random);
            let root = temporary.path().join(format!("state-{run}-{state}"));
            store(&files, &root);
            let failed = |what| format!("run {run}, state {state}, after {done} operations: {what}");
            // A second power cut, during or after the recovery.
            let second = temporary.path().join(format!("second-{run}-{state}"));
            store(&files, &second);
            match check(&root, &expected) {
                Ok(cut_bytes) => torn += usize::from(cut_bytes > 0),
                Err(what) => {
                    wrong.push(failed(what));
                    continue;
                }
            }
            let ops = Workload::new(&second, without, (*expected).clone()).run(&mut random, 6);
            let done = moment(&ops, &mut random);
            let (files, expected) = power_cut(&files, &ops, done, &mut random);
            let root = temporary.path().join(format!("again-{run}-{state}"));
            store(&files, &root);
            if let Err(what) = check(&root, &expected) {
                wrong.push(failed(format!("second power cut after {done}: {what}")));
            }
            for root in [root, second] {
                fs::remove_dir_all(root).unwrap();
            }
        }
    }
    (wrong, torn)
}

fn states() -> usize {
    std::env::var("SEQUOR_POWER_CUTS").map_or(200, |states| states.parse().unwrap())
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let (wrong, torn) = power_cuts(Without::Nothing, states());
    assert!(wrong.is_empty(), "{} of {} states:\n{}", wrong.len(), states(), wrong.join("\n"));
    assert!(torn * 20 > states(), "only {torn} states had a torn end");
}

#[test]
fn without_syncs_a_power_cut_is_noticed_by_this_test() {
    for without in [Without::FileSyncs, Without::FolderSyncs] {
        let (wrong, _) = power_cuts(without, 200);
        assert!(wrong.len() > 20, "{without:?}: only {} states went wrong", wrong.len());
    }
}

//! States that a power cut could leave: what a program did to its files is recorded (`shim.c`), and files are built
//! from a part of it: all that was synced, and of the rest what chance keeps.
//!
//! The disk of this model is a hard one. A write that was not synced is there, or not, or torn at a sector, whatever was
//! written before and after it. Names come and go in order, as a journaling file system has it, and a sync makes all
//! before it last. A `kill -9` shows nothing of this: the operating system keeps what the process wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SECTOR: usize = 512;
const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;

/// What a program did, in order. What it writes to its standard output in lines that begin with `A ` is an acknowledgement.
pub(crate) struct Recording {
    operations: Vec<Operation>,
    root: PathBuf,
}

struct Operation {
    kind: u8,
    path: String,
    second: String,
    offset: u64,
    len: u64,
    data: Vec<u8>,
}

/// How a disk treats what it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disk {
    /// What was synced lasts, and nothing else need.
    Honest,
    /// `sync_file_range` is as good as a sync, which its manual page denies and many disks grant.
    TrustsRanges,
    /// A sync does nothing: the control, which has to show that the test can fail.
    IgnoresSyncs,
}

/// Compiles the recorder; `None` if there is no C compiler.
pub(crate) fn recorder(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/powerloss/shim.c");
    let library = dir.join("powerloss.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).args(["-ldl", "-lpthread"]);
    let output = match compiler.output() {
        Err(_) => return None,
        Ok(output) => output,
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

impl Recording {
    /// Runs a program that works below `root` to its end.
    pub(crate) fn of(program: &mut Command, library: &Path, root: &Path) -> Self {
        let log = root.with_extension("recording");
        let status = program
            .env("LD_PRELOAD", library)
            .env("POWERLOSS_LOG", &log)
            .env("POWERLOSS_ROOT", root)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "the recorded program failed: {status}");
        let bytes = fs::read(&log).unwrap();
        fs::remove_file(&log).unwrap();
        let recording = Self { operations: parse(&bytes), root: root.to_owned() };
        recording.assert_complete();
        recording
    }

    /// All operations together give what the program left, so nothing went past the recorder.
    fn assert_complete(&self) {
        let all = self.state(self.operations.len(), Disk::Honest, &mut |_| 0, true);
        let mut found = BTreeMap::new();
        collect(&self.root, &mut found);
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&all.files), names(&found), "files that the recorder has, and those that are there");
        for (path, bytes) in &found {
            assert!(&all.files[path] == bytes, "the recorder has something else in {}", path.display());
        }
    }

    /// What a power cut at a random time after the first acknowledgement leaves.
    pub(crate) fn cut(&self, disk: Disk, below: &mut dyn FnMut(u64) -> u64) -> State {
        let first = self.operations.iter().position(|operation| operation.kind == b'A').unwrap();
        let end = first as u64 + 1 + below((self.operations.len() - first) as u64);
        self.state(end as usize, disk, below, false)
    }

    fn state(&self, end: usize, disk: Disk, below: &mut dyn FnMut(u64) -> u64, all: bool) -> State {
        let operations = &self.operations[..end];
        let synced =
            operations.iter().rposition(|operation| operation.kind == b's' && disk != Disk::IgnoresSyncs);
        let certain = synced.map_or(0, |at| at + 1);
        let names_until = if all { end } else { certain + below((end - certain) as u64 + 1) as usize };
        let mut tree = Tree::default();
        let mut lasting = tree.names.clone();
        let mut dirs = tree.dirs.clone();
        for (at, operation) in operations.iter().enumerate() {
            tree.apply(operation, disk);
            if at + 1 == names_until {
                lasting = tree.names.clone();
                dirs = tree.dirs.clone();
            }
        }
        let mut files = BTreeMap::new();
        for (path, file) in lasting {
            files.insert(PathBuf::from(path), tree.files[file].content(below, all));
        }
        let acknowledged = operations.iter().filter(|operation| operation.kind == b'A');
        let text: Vec<u8> = acknowledged.flat_map(|operation| operation.data.iter().copied()).collect();
        let dirs = dirs.into_iter().map(PathBuf::from).collect();
        State {
            root: self.root.clone(),
            files,
            dirs,
            acknowledged: String::from_utf8_lossy(&text).into_owned(),
        }
    }
}

fn collect(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut take = |count: usize| {
        let (taken, rest) = bytes.split_at(count.min(bytes.len()));
        bytes = rest;
        taken.to_vec()
    };
    loop {
        let head = take(25);
        if head.len() < 25 {
            return operations;
        }
        let short = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let (kind, offset, len) = (head[0], long(9), long(17));
        let path = String::from_utf8(take(short(1))).unwrap();
        let second = String::from_utf8(take(short(5))).unwrap();
        let data = if matches!(kind, b'w' | b'A') { take(len as usize) } else { Vec::new() };
        // What else is printed, by the test harness that the program is a part of, acknowledges nothing.
        if kind != b'A' || data.starts_with(b"A ") {
            operations.push(Operation { kind, path, second, offset, len, data });
        }
    }
}

/// The files while the program ran.
#[derive(Default)]
struct Tree {
    names: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
    files: Vec<File>,
}

/// A file: what is on the disk for sure, and what was done since.
#[derive(Default, Clone)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
    Extend(u64),
}

impl Tree {
    fn apply(&mut self, operation: &Operation, disk: Disk) {
        let Operation { kind, path, second, offset, len, data } = operation;
        match kind {
            b'o' => {
                if offset & O_CREAT != 0 && !self.names.contains_key(path) {
                    self.names.insert(path.clone(), self.files.len());
                    self.files.push(File::default());
                } else if offset & O_TRUNC != 0 {
                    self.change(path, Change::Truncate(0));
                }
            }
            b'w' => self.change(path, Change::Write(*offset, data.clone())),
            b't' => self.change(path, Change::Truncate(*offset)),
            b'f' => self.change(path, Change::Extend(offset + len)),
            b's' if disk != Disk::IgnoresSyncs => self.sync(path, |_| true),
            b'r' if disk == Disk::TrustsRanges => self.sync(path, |change| match change {
                Change::Write(at, data) => at >= offset && at + data.len() as u64 <= offset + len,
                _ => false,
            }),
            b'u' => drop(self.names.remove(path)),
            b'd' => drop(self.dirs.insert(path.clone())),
            b'x' => drop(self.dirs.remove(path)),
            b'm' => self.rename(path, second),
            _ => {}
        }
    }

    fn change(&mut self, path: &str, change: Change) {
        if let Some(file) = self.names.get(path) {
            self.files[*file].pending.push(change);
        }
    }

    fn sync(&mut self, path: &str, covers: impl Fn(&Change) -> bool) {
        let Some(file) = self.names.get(path) else { return };
        let file = &mut self.files[*file];
        for change in std::mem::take(&mut file.pending) {
            if covers(&change) {
                change.apply(&mut file.synced);
            } else {
                file.pending.push(change);
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let moved = |name: &str| match name.strip_prefix(from)? {
            "" => Some(to.to_owned()),
            rest if rest.starts_with('/') => Some(format!("{to}{rest}")),
            _ => None,
        };
        self.names = std::mem::take(&mut self.names)
            .into_iter()
            .filter(|(name, _)| name != to)
            .map(|(name, file)| (moved(&name).unwrap_or(name), file))
            .collect();
        self.dirs = self.dirs.iter().map(|name| moved(name).unwrap_or_else(|| name.clone())).collect();
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                let at = *at as usize;
                to.resize(to.len().max(at + data.len()), 0);
                to[at..at + data.len()].copy_from_slice(data);
            }
            Self::Truncate(len) => to.resize(*len as usize, 0),
            Self::Extend(len) => to.resize(to.len().max(*len as usize), 0),
        }
    }
}

impl File {
    /// What is on the disk after the cut.
    fn content(&self, below: &mut dyn FnMut(u64) -> u64, all: bool) -> Vec<u8> {
        let mut content = self.synced.clone();
        let kept_of_ten = [0, 5, 9, 10][below(4) as usize];
        for change in &self.pending {
            match change {
                _ if all || below(10) < kept_of_ten => change.apply(&mut content),
                Change::Write(at, data) if data.len() > SECTOR && below(2) == 0 => {
                    let sectors = 1 + below((data.len() / SECTOR) as u64) as usize;
                    Change::Write(*at, data[..sectors * SECTOR].to_vec()).apply(&mut content);
                }
                _ => {}
            }
        }
        content
    }
}

/// What is there when the power is back.
pub(crate) struct State {
    root: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    dirs: BTreeSet<PathBuf>,
    /// What the program had written to its standard output.
    pub(crate) acknowledged: String,
}

impl State {
    /// Makes the files in another directory.
    pub(crate) fn write_to(&self, dir: &Path) {
        let place = |path: &Path| dir.join(path.strip_prefix(&self.root).unwrap());
        for path in &self.dirs {
            fs::create_dir_all(place(path)).unwrap();
        }
        for (path, bytes) in &self.files {
            fs::create_dir_all(place(path).parent().unwrap()).unwrap();
            fs::write(place(path), bytes).unwrap();
        }
    }
}

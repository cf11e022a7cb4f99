//! One of the two sled directories. sled may panic where its files are damaged, so every call of it is guarded.

use super::chunk::{self, Unpacked};
use super::disk;
use super::error::Error;
use super::manifest::Manifest;
use std::cell::Cell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

/// What begins the keys of each kind. Chunks come last, so that new ones are always added at the end.
const COUNTER: u8 = 0;
const MANIFEST: u8 = 1;
const CHUNK: u8 = 2;
/// sled puts values that are larger than this order into files of their own; a manifest is cut.
const MANIFEST_PART_MAX: usize = 30 << 10;
const CACHE_BYTES: u64 = 32 << 20;
/// sled's threads let go of the lock a little after the last handle is dropped.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Which of the two directories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The directory of sled's files.
    pub(super) fn dir(self, root: &Path) -> PathBuf {
        root.join(self.name())
    }

    /// The copy of the newest manifest outside sled: sled can come back empty and in good health, which only a witness
    /// notices.
    pub(super) fn witness(self, root: &Path) -> PathBuf {
        root.join(format!("manifest-{}.json", self.name()))
    }
}

/// An open sled directory.
pub(super) struct Generation {
    pub(super) side: Side,
    pub(super) path: PathBuf,
    db: sled::Db,
}

impl Generation {
    /// Opens a directory, or makes it.
    pub(super) fn open(root: &Path, side: Side) -> Result<Arc<Self>, Error> {
        let path = side.dir(root);
        for _ in 0..LOCK_TRIES {
            let config =
                sled::Config::new().path(&path).flush_every_ms(None).cache_capacity(CACHE_BYTES).clone();
            let at = path.clone();
            // On a thread of its own: what sled leaves behind where it panics is then not on ours.
            let opened = thread::Builder::new()
                .name("state-open".to_owned())
                .spawn(move || guarded(&at, || config.open()))
                .map_err(Error::io("start a thread to open", &path))?
                .join()
                .unwrap_or_else(|_| Err(Error::damaged(&path, "sled cannot open it")));
            match opened {
                Err(Error::Damaged { why, .. }) if why.contains("could not acquire lock") => {
                    thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(error),
                Ok(db) => return Ok(Arc::new(Self { side, path, db })),
            }
        }
        Err(Error::Locked { path })
    }

    /// Makes an empty directory in place of what is there. Nothing of it counts until it has a manifest.
    pub(super) fn create(root: &Path, side: Side, next_number: u64) -> Result<Arc<Self>, Error> {
        disk::remove_file(&side.witness(root))?;
        disk::remove_dir(&side.dir(root))?;
        let generation = Self::open(root, side)?;
        generation.set_next_number(next_number)?;
        generation.sync()?;
        disk::sync_parent(&generation.path)?;
        Ok(generation)
    }

    /// Moves sled's snapshots of its page table aside; it can do without. Whether there were any.
    pub(super) fn set_snapshots_aside(root: &Path, side: Side) -> Result<bool, Error> {
        let dir = side.dir(root);
        let mut any = false;
        for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))? {
            let entry = entry.map_err(Error::io("list", &dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("snap.") {
                disk::rename(&entry.path(), &dir.join(format!("aside.{name}")))?;
                any = true;
            }
        }
        Ok(any)
    }

    /// What has been written is on the disk. sled's own flush leaves it to the operating system when.
    pub(super) fn sync(&self) -> Result<(), Error> {
        guarded(&self.path, || self.db.flush())?;
        disk::sync_tree(&self.path)
    }

    /// A number that no checkpoint of the directory has or had.
    pub(super) fn next_number(&self) -> Result<u64, Error> {
        let counter = guarded(&self.path, || self.db.get([COUNTER]))?;
        Ok(counter.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0))
    }

    pub(super) fn set_next_number(&self, number: u64) -> Result<(), Error> {
        guarded(&self.path, || self.db.insert([COUNTER], &number.to_be_bytes())).map(drop)
    }

    pub(super) fn put_chunk(&self, checkpoint: u64, chunk: u32, bytes: Vec<u8>) -> Result<(), Error> {
        guarded(&self.path, || self.db.insert(chunk_key(checkpoint, chunk), bytes)).map(drop)
    }

    pub(super) fn chunk(&self, checkpoint: u64, chunk: u32) -> Result<Unpacked, Error> {
        let bytes = guarded(&self.path, || self.db.get(chunk_key(checkpoint, chunk)))?.ok_or_else(|| {
            Error::damaged(&self.path, format!("chunk {chunk} of checkpoint {checkpoint} is not there"))
        })?;
        chunk::unpack(&bytes, checkpoint, chunk, &self.path)
    }

    /// Stores a manifest; its head is the last thing that is written of it.
    pub(super) fn put_manifest(&self, number: u64, bytes: &[u8]) -> Result<(), Error> {
        let parts: Vec<&[u8]> = bytes.chunks(MANIFEST_PART_MAX).collect();
        for (part, bytes) in parts.iter().enumerate().rev() {
            let mut value = (parts.len() as u16).to_be_bytes().to_vec();
            value.extend_from_slice(bytes);
            guarded(&self.path, || self.db.insert(manifest_key(number, part as u16), value))?;
        }
        Ok(())
    }

    /// The manifests that can be read, lowest number first, and what is wrong with others.
    pub(super) fn manifests(&self) -> Result<(Vec<Manifest>, Vec<String>), Error> {
        let mut manifests = Vec::new();
        let mut problems = Vec::new();
        let heads = guarded(&self.path, || {
            self.db.scan_prefix([MANIFEST]).keys().collect::<sled::Result<Vec<sled::IVec>>>()
        })?;
        for key in heads.iter().filter(|key| key.ends_with(&[0, 0])) {
            let number = key.get(1..9).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
            match self.manifest(number.unwrap_or(0)) {
                Ok(manifest) => manifests.push(manifest),
                Err(error @ Error::Newer { .. }) => return Err(error),
                Err(error) => problems.push(error.to_string()),
            }
        }
        Ok((manifests, problems))
    }

    fn manifest(&self, number: u64) -> Result<Manifest, Error> {
        let gone =
            || Error::damaged(&self.path, format!("the manifest of checkpoint {number} is incomplete"));
        let mut bytes = Vec::new();
        let (mut part, mut parts) = (0, 1);
        while part < parts {
            let value = guarded(&self.path, || self.db.get(manifest_key(number, part)))?.ok_or_else(gone)?;
            let (count, rest) = value.split_first_chunk::<2>().ok_or_else(gone)?;
            parts = u16::from_be_bytes(*count);
            bytes.extend_from_slice(rest);
            part += 1;
        }
        let manifest = Manifest::from_bytes(&bytes, &self.path)?;
        if manifest.number == number { Ok(manifest) } else { Err(gone()) }
    }

    /// Makes a checkpoint not exist; its chunks go too.
    pub(super) fn remove(&self, number: u64) -> Result<(), Error> {
        let mut low = [0; 9];
        low[1..].copy_from_slice(&number.to_be_bytes());
        for kind in [MANIFEST, CHUNK] {
            low[0] = kind;
            loop {
                // In portions: the number of keys has no bound.
                let keys = guarded(&self.path, || {
                    self.db.scan_prefix(low).keys().take(1000).collect::<sled::Result<Vec<_>>>()
                })?;
                if keys.is_empty() {
                    break;
                }
                for key in keys {
                    guarded(&self.path, || self.db.remove(key))?;
                }
            }
        }
        Ok(())
    }
}

fn chunk_key(checkpoint: u64, chunk: u32) -> [u8; 13] {
    let mut key = [CHUNK; 13];
    key[1..9].copy_from_slice(&checkpoint.to_be_bytes());
    key[9..].copy_from_slice(&chunk.to_be_bytes());
    key
}

fn manifest_key(number: u64, part: u16) -> [u8; 11] {
    let mut key = [MANIFEST; 11];
    key[1..9].copy_from_slice(&number.to_be_bytes());
    key[9..].copy_from_slice(&part.to_be_bytes());
    key
}

thread_local! {
    /// Whether this thread is in sled and takes a panic for an answer.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls sled; a panic becomes an error and is not printed.
fn guarded<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let of_sled = thread::current().name().is_some_and(|name| name.starts_with("sled-io"));
            if !of_sled && !GUARDED.get() {
                before(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let answer = panic::catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(outer);
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source))) if source.raw_os_error().is_some() => {
            Err(Error::Io { what: "use", path: path.to_owned(), source })
        }
        Ok(Err(error)) => Err(Error::damaged(path, format!("sled says: {error}"))),
        Err(_) => Err(Error::damaged(path, "sled cannot make sense of it")),
    }
}

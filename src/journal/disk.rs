//! The operations that change files, behind a trait: tests record them, lose what was not synced, or let them fail.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that is open for writing, and its path.
#[derive(Debug)]
pub struct DiskFile {
    /// The open file.
    pub file: File,
    /// Where it is.
    pub path: PathBuf,
}

/// What a journal does to a file system. Each method does what it does on the real disk unless it is overridden.
///
/// What a power cut leaves: the contents of a file as of its last [`Disk::sync`], the entries of a folder as of its
/// last [`Disk::sync_dir`], and of everything after that any part.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates a folder and those above it.
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    /// Creates an empty file, or empties it.
    fn create(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(DiskFile { file, path: path.to_owned() })
    }

    /// Opens a file to go on writing it.
    fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(DiskFile { file, path: path.to_owned() })
    }

    /// Writes all the bytes at an offset. After an error any part of them may be there.
    fn write(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut to = &file.file;
        to.seek(SeekFrom::Start(offset))?;
        to.write_all(bytes)
    }

    /// Sets a file's length.
    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        file.file.set_len(len)
    }

    /// Makes a file's contents and length durable.
    fn sync(&self, file: &DiskFile) -> io::Result<()> {
        file.file.sync_data()
    }

    /// Makes the entries of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Elsewhere a folder cannot be opened, and its entries need no sync of their own.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    /// Gives a file another name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Gives a file a second name.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The disk as it is.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {}

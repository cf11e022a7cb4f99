//! A sink that is a file of lines: each line of the log that is for it stands there exactly once, whatever happens.
//!
//! The file is written behind its recorded length, always at the place that follows from what was written before; so what
//! a failed write or sync has left is written over with the same bytes. Now and then the file is synced, and then its
//! length is recorded together with the number of the next line. After a crash, what stands behind the recorded length is
//! compared with the lines that belong there.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::{Cursor, Place, told};
use super::selection::Selection;
use crate::config::settings::FileTarget;
use crate::journal::{Disk, DiskFile, Reader, Tail};

/// How much is written at once, about, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// A file of lines.
pub(super) struct FileSink {
    disk: Arc<dyn Disk>,
    tail: Tail,
    selection: Selection,
    rotate_bytes: Option<u64>,
    keep: Option<u32>,
    /// The file that holds the cursor.
    sidecar: PathBuf,
    /// What is recorded.
    cursor: Cursor,
    place: Place,
    file: DiskFile,
    /// How far it has been written since: the file's length, the number of the next line, and how many lines there are.
    bytes: u64,
    next: u64,
    delivered: u64,
    reader: Option<Reader>,
    buffer: Vec<u8>,
}

impl FileSink {
    /// Opens the file and takes it to where the log says that it stands; `name` is the sink's.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        (name, target): (&str, &FileTarget),
        sidecar: PathBuf,
        tail: Tail,
        selection: Selection,
    ) -> io::Result<FileSink> {
        let path = std::path::absolute(&target.path)?;
        let source = selection.source();
        let (cursor, mut place) = match Cursor::read(&sidecar)? {
            Some(Cursor { file: Some(place), what, .. }) if what != source => {
                return Err(io::Error::other(format!(
                    "the file `{}` holds {what}, and the sink `{name}` is to write {source}: give the new sink another name and path",
                    place.path.display(),
                )));
            }
            Some(cursor) => match cursor.file.clone() {
                Some(place) => (cursor, place),
                None => {
                    return Err(io::Error::other(format!(
                        "`{}` is of a sink of another type: give the sink `{name}` another name",
                        sidecar.display()
                    )));
                }
            },
            None => begin(&*disk, name, source, &path, &sidecar, tail.next())?,
        };
        let file = match place.rotating {
            true => put_aside(&*disk, &mut place)?,
            false => open_recorded(&*disk, &place, &sidecar, name)?,
        };
        if cursor.next > tail.next() {
            return Err(io::Error::other(format!(
                "the sink `{name}` has taken {} lines of the log in `{}`, which has only {}: the log is not the one that it followed; restore the log, or delete `{}` and move `{}` away to begin anew",
                cursor.next,
                tail.dir().display(),
                tail.next(),
                sidecar.display(),
                place.path.display(),
            )));
        }
        lock(&file)?;
        let mut sink = FileSink {
            bytes: place.bytes,
            next: cursor.next,
            delivered: cursor.delivered,
            rotate_bytes: target.rotate_bytes.map(|size| size.0),
            keep: target.keep,
            disk,
            tail,
            selection,
            sidecar,
            cursor,
            place,
            file,
            reader: None,
            buffer: Vec::new(),
        };
        sink.compare()?;
        sink.save()?;
        if sink.place.path != path {
            sink.move_to(name, path)?;
        }
        sink.delete_old();
        Ok(sink)
    }

    /// The number of the first line that it has not written.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The number of the first line of which it is not certain that it will be there after a power cut.
    pub(super) fn durable_next(&self) -> u64 {
        self.cursor.next
    }

    /// How many lines it has written since it was made.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether something was written that is not recorded.
    pub(super) fn is_ahead(&self) -> bool {
        self.next != self.cursor.next || self.place != *self.cursor.file.as_ref().unwrap_or(&self.place)
    }

    /// Keeps what stands behind the recorded length as far as the log says the same, and cuts the rest.
    fn compare(&mut self) -> io::Result<()> {
        let mut there = BufReader::new(File::open(&self.place.path)?);
        there.seek(SeekFrom::Start(self.bytes))?;
        let mut line_there = Vec::new();
        let reader = self.tail.reader(self.next).map_err(io::Error::other)?;
        'log: for record in reader {
            let record = record.map_err(io::Error::other)?;
            if self.selection.takes_of(&record) {
                for (number, line) in lines(record.first, &record.body) {
                    if number < self.next || !self.selection.takes(line)? {
                        continue;
                    }
                    line_there.clear();
                    there.by_ref().take(line.len() as u64).read_to_end(&mut line_there)?;
                    if line_there != line {
                        self.next = number;
                        break 'log;
                    }
                    self.bytes += line.len() as u64;
                    self.delivered += 1;
                }
            }
            self.next = record.next();
        }
        if there.get_ref().metadata()?.len() > self.bytes {
            self.disk.set_len(&self.file, self.bytes)?;
        }
        Ok(())
    }

    /// Writes lines that have become durable in the log; says whether there were any. After an error it is to be called
    /// again: nothing is lost.
    pub(super) fn go_on(&mut self) -> io::Result<bool> {
        let done = self.try_go_on();
        if done.is_err() {
            // What was read and not written is read again.
            self.reader = None;
            self.buffer.clear();
        }
        done
    }

    fn try_go_on(&mut self) -> io::Result<bool> {
        if self.place.rotating {
            self.finish_rotation()?;
        }
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.tail.reader(self.next).map_err(io::Error::other)?,
        };
        let (before, mut next, mut count) = (self.next, self.next, 0);
        while self.buffer.len() < CHUNK_BYTES {
            let Some(record) = reader.next() else { break };
            let record = record.map_err(io::Error::other)?;
            if self.selection.takes_of(&record) {
                for (number, line) in lines(record.first, &record.body) {
                    if number < self.next || !self.selection.takes(line)? {
                        continue;
                    }
                    let bytes = self.bytes + self.buffer.len() as u64;
                    if bytes > 0 && self.rotate_bytes.is_some_and(|max| bytes + line.len() as u64 > max) {
                        self.write(number, count)?;
                        count = 0;
                        self.rotate()?;
                    }
                    self.buffer.extend_from_slice(line);
                    count += 1;
                }
            }
            next = record.next();
        }
        self.write(next, count)?;
        self.reader = Some(reader);
        Ok(self.next > before)
    }

    /// Writes what is in the buffer; `next` is the number of the line after it.
    fn write(&mut self, next: u64, count: u64) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.disk
                .write(&self.file, self.bytes, &self.buffer)
                .map_err(|error| told(&self.place.path, "cannot write", &error))?;
            self.bytes += self.buffer.len() as u64;
            self.buffer.clear();
        }
        self.delivered += count;
        self.next = next;
        Ok(())
    }

    /// Makes durable and records what was written.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if let Err(error) = self.disk.sync(&self.file) {
            // What a failed sync lost no later one tells: it is written again, to the same place.
            (self.next, self.delivered, self.bytes) =
                (self.cursor.next, self.cursor.delivered, self.place.bytes);
            self.reader = None;
            return Err(told(&self.place.path, "cannot sync", &error));
        }
        self.record(Place { bytes: self.bytes, ..self.place.clone() })
    }

    fn record(&mut self, place: Place) -> io::Result<()> {
        let cursor = Cursor {
            next: self.next,
            delivered: self.delivered,
            file: Some(place.clone()),
            ..self.cursor.clone()
        };
        cursor.write(&*self.disk, &self.sidecar)?;
        (self.cursor, self.place) = (cursor, place);
        Ok(())
    }

    /// Puts the file aside and begins a new one. The steps, each durable before the next, and what a crash after it finds:
    ///
    /// 1. The cursor says that the file, of this length, is being put aside. The file is still there under its own name,
    ///    and nothing more is written to it: the start goes on with 2.
    /// 2. The file has its new name. The start finds it there, and goes on with 3.
    /// 3. There is a new, empty file. The start finds both, and goes on with 3 (which changes nothing) and 4.
    /// 4. The cursor says that the new file has length 0. All is as before, one file later.
    /// 5. Old files are deleted. The start deletes what was not.
    fn rotate(&mut self) -> io::Result<()> {
        let aside = part(&self.place.path, self.place.part);
        if aside.try_exists()? {
            let (path, aside) = (self.place.path.display(), aside.display());
            return Err(io::Error::other(format!(
                "cannot put `{path}` aside: `{aside}`, which sequor did not write, is in the way; move it away"
            )));
        }
        self.save()?;
        self.record(Place { rotating: true, ..self.place.clone() })?;
        self.finish_rotation()
    }

    fn finish_rotation(&mut self) -> io::Result<()> {
        let mut place = self.place.clone();
        self.file = put_aside(&*self.disk, &mut place)?;
        lock(&self.file)?;
        self.bytes = 0;
        self.record(place)?;
        self.delete_old();
        Ok(())
    }

    /// Deletes the oldest files that were put aside. One that cannot be deleted is tried again after the next rotation.
    fn delete_old(&mut self) {
        let Some(keep) = self.keep else { return };
        while self.place.part - self.place.oldest > u64::from(keep) {
            match self.disk.remove(&part(&self.place.path, self.place.oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return,
                _ => self.place.oldest += 1,
            }
        }
    }

    /// Goes on in another file: the settings name another path than before.
    fn move_to(&mut self, name: &str, path: PathBuf) -> io::Result<()> {
        let (file, place) = new_file(&*self.disk, name, &path, &self.sidecar)?;
        lock(&file)?;
        (self.file, self.bytes) = (file, 0);
        self.record(place)
    }
}

/// Takes a file for this process: another service, as one that was restored from a backup, must not cut it.
fn lock(file: &DiskFile) -> io::Result<()> {
    match file.file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other(format!("`{}` is being written by another process", file.path.display())))
        }
        // Where there are no locks, there is no protection.
        _ => Ok(()),
    }
}

/// The lines of a record with their numbers and line breaks.
pub(super) fn lines(first: u64, body: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (first..).zip(body.split_inclusive(|&byte| byte == b'\n'))
}

/// The name of a file that was put aside.
fn part(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:06}"));
    PathBuf::from(name)
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Begins a new sink: with what becomes durable in the log from now on.
fn begin(
    disk: &dyn Disk,
    name: &str,
    source: &str,
    path: &Path,
    sidecar: &Path,
    next: u64,
) -> io::Result<(Cursor, Place)> {
    let (_, place) = new_file(disk, name, path, sidecar)?;
    let mut cursor = Cursor::new(source, next);
    cursor.file = Some(place.clone());
    cursor.write(disk, sidecar)?;
    Ok((cursor, place))
}

/// An empty file to write to. Files that someone put aside beside it stay: numbers go on behind theirs.
fn new_file(disk: &dyn Disk, name: &str, path: &Path, sidecar: &Path) -> io::Result<(DiskFile, Place)> {
    if fs::metadata(path).is_ok_and(|there| there.len() > 0) {
        return Err(io::Error::other(format!(
            "the file `{}` of the sink `{name}` is not empty, and no cursor (`{}`) says that the service wrote it: move the file away, or give the sink another path",
            path.display(),
            sidecar.display(),
        )));
    }
    let folder = folder(path);
    let make = || {
        disk.create_dir(folder)?;
        let file = disk.create(path)?;
        disk.sync(&file)?;
        disk.sync_dir(folder)?;
        Ok(file)
    };
    let file = make().map_err(|error| told(path, "cannot create", &error))?;
    let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbers = fs::read_dir(folder)?.flatten().filter_map(|entry| {
        let other = entry.file_name().to_string_lossy().into_owned();
        other.strip_prefix(&own)?.strip_prefix('.')?.parse::<u64>().ok()
    });
    let part = numbers.max().map_or(1, |last| last.saturating_add(1));
    Ok((file, Place { path: path.to_owned(), bytes: 0, part, oldest: part, rotating: false }))
}

/// Opens the file that the cursor names. What was recorded must be there.
fn open_recorded(disk: &dyn Disk, place: &Place, sidecar: &Path, name: &str) -> io::Result<DiskFile> {
    let path = &place.path;
    let len = match fs::metadata(path) {
        Ok(there) => there.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(told(path, "cannot read", &error)),
    };
    if len < place.bytes {
        return Err(io::Error::other(format!(
            "the file `{}` of the sink `{name}` has {len} bytes, but {} were written to it: put back what is missing; or, to begin a new file with what comes from now on, move it away and delete `{}`",
            path.display(),
            place.bytes,
            sidecar.display(),
        )));
    }
    if len == 0 {
        disk.create_dir(folder(path))?;
        let file = disk.create(path).map_err(|error| told(path, "cannot create", &error))?;
        disk.sync_dir(folder(path))?;
        return Ok(file);
    }
    disk.open(path).map_err(|error| told(path, "cannot open", &error))
}

/// Steps 2 and 3 of putting a file aside; gives the new file and changes the place to it.
fn put_aside(disk: &dyn Disk, place: &mut Place) -> io::Result<DiskFile> {
    let (path, aside) = (&place.path, part(&place.path, place.part));
    if !aside.try_exists()? {
        disk.rename(path, &aside).map_err(|error| told(path, "cannot rename", &error))?;
        disk.sync_dir(folder(path))?;
    }
    let len = fs::metadata(&aside)?.len();
    if len != place.bytes || fs::metadata(path).is_ok_and(|there| there.len() > 0) {
        return Err(io::Error::other(format!(
            "`{}` was put aside as `{}` with {} bytes, and one of the two has been changed since: put back what was there",
            path.display(),
            aside.display(),
            place.bytes,
        )));
    }
    let file = disk.create(path).map_err(|error| told(path, "cannot create", &error))?;
    disk.sync(&file)?;
    disk.sync_dir(folder(path))?;
    (place.bytes, place.part, place.rotating) = (0, place.part + 1, false);
    Ok(file)
}

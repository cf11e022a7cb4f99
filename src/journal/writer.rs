//! The writer of a journal: opening, appending, taking back what failed, and beginning the next segment.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::copy;
use super::disk::{Disk, DiskFile};
use super::frame::{self, HEADER_BYTES, Kind, PAYLOAD_BYTES_MAX};
use super::scan::{self, Layout, SegmentInfo};
use super::segment::{self, Index, SEGMENT_HEADER_BYTES};
use super::{EncodedRecord, JournalError, NewRecord, Opened, Options, Tail};

/// How much memory is kept for the next frame, in bytes.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// An append-only log of records in a folder of checksummed segment files. There may be one writer of a folder at a time.
#[derive(Debug)]
pub struct Journal {
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) tail: Tail,
    /// The segment that is being written.
    active: DiskFile,
    active_first: u64,
    salt: u32,
    written: End,
    durable: End,
    /// Why nothing can be written before the end has been taken back to what is durable.
    poisoned: Option<String>,
    /// The marker of a cut that has not been finished: nothing can be written before the journal is opened again.
    pub(super) unfinished: Option<PathBuf>,
    /// The number that the marker of the beginning names.
    pub(super) begin: u64,
    buffer: Vec<u8>,
}

/// How far something goes: the length of the last segment, and the number after the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    bytes: u64,
    next: u64,
}

impl Journal {
    /// Opens the journal in a folder, or begins one. A torn end is cut; [`Opened`] says so. Where something is damaged,
    /// nothing is changed and the error says what.
    pub fn open(dir: &Path, options: Options) -> Result<(Journal, Opened), JournalError> {
        let disk = Arc::clone(&options.disk);
        let layout = scan::scan(dir, false)?;
        let next =
            layout.as_ref().and_then(|layout| layout.segments.last()).map_or(options.start, |s| s.next);
        if let Some(known_next) = options.known_next.filter(|known| *known > next) {
            return Err(JournalError::Short { dir: dir.to_owned(), next, known_next });
        }
        let is_new = layout.is_none();
        let layout = match layout {
            Some(layout) => layout,
            None => begin(&*disk, dir, options.start)?,
        };
        let cut_bytes = layout.torn_bytes;
        let journal = Journal::of(dir, options, layout, None)?;
        let path = journal.active.path.clone();
        let (first, next) = (journal.first(), journal.next());
        let cut_at = journal.durable.bytes;
        Ok((journal, Opened { is_new, first, next, cut_bytes, cut_at, path }))
    }

    /// The journal of a folder that was read, after finishing what the layout says is unfinished.
    pub(super) fn of(
        dir: &Path,
        options: Options,
        layout: Layout,
        tail: Option<Tail>,
    ) -> Result<Journal, JournalError> {
        let disk = &*options.disk;
        for path in &layout.leftovers {
            disk.remove(path).map_err(|error| JournalError::io("delete", path, error))?;
        }
        let sync_dir = || disk.sync_dir(dir).map_err(|error| JournalError::io("sync", dir, error));
        if !layout.leftovers.is_empty() {
            sync_dir()?;
        }
        let last =
            layout.segments.last().map_or((options.start, 0, options.start), |s| (s.first, s.bytes, s.next));
        let (active_first, bytes, next) = last;
        let path = segment::path(dir, active_first);
        if layout.cut.is_some() && layout.torn_bytes > 0 {
            // A copy of the journal may have a link to this file: it must stay whole.
            let new = path.with_extension("new");
            copy::copy_file(disk, &path, &new, bytes)?;
            disk.rename(&new, &path).map_err(|error| JournalError::io("rename", &new, error))?;
            sync_dir()?;
        }
        let active = disk.open(&path).map_err(|error| JournalError::io("open", &path, error))?;
        if layout.cut.is_none() && layout.torn_bytes > 0 {
            disk.set_len(&active, bytes).map_err(|error| JournalError::io("cut", &path, error))?;
        }
        // Also what was not torn may not have been synced before a crash of the program alone.
        disk.sync(&active).map_err(|error| JournalError::io("sync", &path, error))?;
        if let Some(cut) = &layout.cut {
            disk.remove(cut).map_err(|error| JournalError::io("delete", cut, error))?;
            sync_dir()?;
        }
        let end = End { bytes, next };
        let begin = layout.segments.first().map_or(options.start, |segment| segment.first);
        let tail = match tail {
            None => Tail::new(dir, layout.segments, layout.index),
            Some(tail) => {
                tail.forget_indexes();
                tail.update(|state| (state.segments, state.index) = (layout.segments, layout.index));
                tail
            }
        };
        Ok(Journal {
            dir: dir.to_owned(),
            tail,
            active,
            active_first,
            salt: layout.salt,
            written: end,
            durable: end,
            poisoned: None,
            unfinished: None,
            begin,
            buffer: Vec::new(),
            options,
        })
    }

    /// The number of the first record that is there; [`Journal::next`] where there is none.
    pub fn first(&self) -> u64 {
        self.tail.first()
    }

    /// The number that the next record gets.
    pub fn next(&self) -> u64 {
        self.written.next
    }

    /// The number after the last durable record.
    pub fn durable_next(&self) -> u64 {
        self.durable.next
    }

    /// The view of what is durable, for readers on any thread.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Writes records as one frame, and gives their numbers. They are not durable before [`Journal::sync`] has succeeded.
    /// After an error, this and every write since the last successful sync has been taken back.
    pub fn write(&mut self, records: &[NewRecord<'_>]) -> Result<Range<u64>, JournalError> {
        let from = self.options.compress_from;
        let encode =
            |record: &NewRecord<'_>| EncodedRecord::new(record.count, record.meta, record.body, from);
        let records = records.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        self.write_encoded(&records)
    }

    /// The same for records that have been encoded.
    pub fn write_encoded(&mut self, records: &[EncodedRecord]) -> Result<Range<u64>, JournalError> {
        self.make_ready()?;
        let first = self.written.next;
        if records.is_empty() {
            return Ok(first..first);
        }
        let bytes = records.iter().map(|record| record.len() as u64).sum::<u64>();
        let count = records.iter().map(|record| u64::from(record.count)).sum::<u64>();
        let next = first.checked_add(count).filter(|_| bytes <= PAYLOAD_BYTES_MAX);
        let Some(next) = next else {
            return Err(JournalError::TooLarge { bytes, bytes_max: PAYLOAD_BYTES_MAX });
        };
        let frame_bytes = HEADER_BYTES as u64 + bytes;
        if first > self.active_first && self.written.bytes + frame_bytes > self.options.segment_bytes {
            self.roll()?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        records.iter().for_each(|record| buffer.extend_from_slice(&record.bytes));
        let synced = self.durable.bytes;
        frame::finish(&mut buffer, Kind::Records, records.len() as u32, synced, first..next, self.salt);
        let offset = self.written.bytes;
        let wrote = self.options.disk.write(&self.active, offset, &buffer);
        if buffer.capacity() <= BUFFER_BYTES_MAX {
            self.buffer = buffer;
        }
        if let Err(error) = wrote {
            return Err(self.failed("write", error));
        }
        self.tail.state().index.add(first, offset);
        self.written = End { bytes: offset + frame_bytes, next };
        Ok(first..next)
    }

    /// Makes all that was written durable and shows it to readers; gives the number after the last durable record. After an
    /// error, every write since the last successful sync has been taken back.
    pub fn sync(&mut self) -> Result<u64, JournalError> {
        self.make_ready()?;
        if self.written != self.durable {
            if let Err(error) = self.options.disk.sync(&self.active) {
                return Err(self.failed("sync", error));
            }
            self.durable = self.written;
            let End { bytes, next } = self.durable;
            self.tail.update(|state| {
                if let Some(last) = state.segments.last_mut() {
                    (last.bytes, last.next) = (bytes, next);
                }
            });
        }
        Ok(self.durable.next)
    }

    /// Writes records and makes them durable: [`Journal::write`] and [`Journal::sync`].
    pub fn append(&mut self, records: &[NewRecord<'_>]) -> Result<Range<u64>, JournalError> {
        let numbers = self.write(records)?;
        self.sync()?;
        Ok(numbers)
    }

    /// Ends the segment that is being written and begins the next one; does nothing where it has no records. What has been
    /// written is durable after it.
    pub fn roll(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let End { bytes, next } = self.durable;
        if next == self.active_first {
            return Ok(());
        }
        let disk = Arc::clone(&self.options.disk);
        // The next segment is durable before the seal says that there is one, and the seal before anything is written to it.
        let path = segment::path(&self.dir, next);
        let (active, salt) = create_segment(&*disk, &self.dir, next)?;
        let seal = self.tail.state().index.seal(next, bytes, self.salt);
        let sealed = disk.write(&self.active, bytes, &seal).and_then(|()| disk.sync(&self.active));
        if let Err(error) = sealed {
            // It may stay: a segment without records after one without a seal is taken away when the journal is opened.
            drop(active);
            let _ = disk.remove(&path);
            return Err(self.failed("seal", error));
        }
        let modified = |file: &DiskFile| file.file.metadata().and_then(|metadata| metadata.modified());
        let read = |error| JournalError::io("read", &path, error);
        let (sealed_at, begun_at) = (modified(&self.active).map_err(read)?, modified(&active).map_err(read)?);
        self.tail.update(|state| {
            if let Some(last) = state.segments.last_mut() {
                (last.bytes, last.modified) = (bytes + seal.len() as u64, sealed_at);
            }
            let bytes = SEGMENT_HEADER_BYTES;
            state.segments.push(SegmentInfo { first: next, next, bytes, modified: begun_at });
            state.index = Index::default();
        });
        (self.active, self.active_first, self.salt) = (active, next, salt);
        self.durable = End { bytes: SEGMENT_HEADER_BYTES, next };
        self.written = self.durable;
        Ok(())
    }

    /// After a failed operation: takes the segment back to what is durable. A sync that failed may have lost any write
    /// since the one that succeeded, and the next sync would not tell; so none of them may stay.
    fn failed(&mut self, doing: &'static str, error: io::Error) -> JournalError {
        let error = JournalError::io(doing, &self.active.path, error);
        self.poisoned = Some(error.to_string());
        match self.take_back() {
            Ok(()) => error,
            Err(poisoned) => poisoned,
        }
    }

    /// Finishes what a failure has left; an error where that is not possible.
    fn make_ready(&mut self) -> Result<(), JournalError> {
        if let Some(path) = &self.unfinished {
            return Err(JournalError::Unfinished { path: path.clone() });
        }
        if self.poisoned.is_some() { self.take_back() } else { Ok(()) }
    }

    fn take_back(&mut self) -> Result<(), JournalError> {
        let disk = &self.options.disk;
        let cut = disk.set_len(&self.active, self.durable.bytes).and_then(|()| disk.sync(&self.active));
        if let Err(source) = cut {
            let (path, why) = (self.active.path.clone(), self.poisoned.clone().unwrap_or_default());
            return Err(JournalError::Poisoned { path, why, source });
        }
        self.written = self.durable;
        self.tail.state().index.truncate(self.durable.bytes);
        self.poisoned = None;
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.tail.update(|state| state.is_closed = true);
    }
}

/// Makes a segment without records, and makes it durable.
fn create_segment(disk: &dyn Disk, dir: &Path, first: u64) -> Result<(DiskFile, u32), JournalError> {
    let path = segment::path(dir, first);
    let mut salt = [0; 4];
    getrandom::fill(&mut salt).map_err(|error| {
        JournalError::io("find a random number for", &path, io::Error::other(error.to_string()))
    })?;
    let salt = u32::from_le_bytes(salt);
    let make = || {
        let file = disk.create(&path)?;
        disk.write(&file, 0, &segment::encode_header(first, salt))?;
        disk.sync(&file)?;
        disk.sync_dir(dir)?;
        Ok(file)
    };
    match make() {
        Ok(file) => Ok((file, salt)),
        Err(error) => {
            let _ = disk.remove(&path);
            Err(JournalError::io("create", &path, error))
        }
    }
}

/// Begins a journal. Its marker comes last: where it is, a segment was.
pub(super) fn begin(disk: &dyn Disk, dir: &Path, first: u64) -> Result<Layout, JournalError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |error| JournalError::io(doing, &path, error)
    };
    let made: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    disk.create_dir(dir).map_err(io("create", dir))?;
    for above in made.iter().filter_map(|path| path.parent()) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        disk.sync_dir(above).map_err(io("sync", above))?;
    }
    let (_, salt) = create_segment(disk, dir, first)?;
    let marker = scan::begin_marker(dir, first);
    disk.create(&marker).map_err(io("create", &marker))?;
    disk.sync_dir(dir).map_err(io("sync", dir))?;
    let layout = scan::scan(dir, false)?;
    layout.map_or_else(|| Err(JournalError::damaged(dir, 0, format!("salt {salt}"), "nothing")), Ok)
}

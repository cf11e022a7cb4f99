//! Records that need not outlive the process, but have no room in memory: written one after the other into files of some
//! size. What was there before is deleted at the start. A file goes when none of its records is needed any more; one of
//! which hardly any is tells its records, so that those that are needed can be put anew.
//!
//! A record is its length, a checksum over its place and bytes, and its bytes; each begins at a multiple of `UNIT`.

use super::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Records begin at multiples of so many bytes.
const UNIT: usize = 16;
/// A place is the number of a file and, in so many bits, the unit in it: files of up to 64 MiB.
const UNIT_BITS: u32 = 22;
const FILES_MAX: usize = (1 << (32 - UNIT_BITS)) - 1;
/// Length and checksum.
const HEAD: usize = 8;
/// So much is written at once.
const WRITTEN_TOGETHER: usize = 256 << 10;
/// So much of a record is read at first.
const READ_FIRST: usize = 1024;
/// Below so many files nothing is put anew.
const FILES_FEW: usize = 4;

/// Records in files.
#[derive(Debug)]
pub struct Spill {
    dir: PathBuf,
    /// At which size the next file is begun.
    file_bytes: usize,
    files: Vec<Option<Part>>,
    /// The file that is written.
    current: usize,
    /// Its end, which has not been written yet.
    buffer: Vec<u8>,
}

/// A file.
#[derive(Debug)]
struct Part {
    file: File,
    path: PathBuf,
    /// Bytes that have been written.
    written: usize,
    records: u32,
    /// Of those, how many are needed.
    needed: u32,
}

impl Spill {
    /// In a directory of its own, which is emptied.
    pub fn open(dir: &Path, file_bytes: usize) -> Result<Spill, Error> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", dir)(error));
            }
            _ => fs::create_dir_all(dir).map_err(Error::io("create", dir))?,
        }
        let file_bytes = file_bytes.clamp(UNIT, UNIT << UNIT_BITS);
        let mut spill =
            Spill { dir: dir.to_owned(), file_bytes, files: Vec::new(), current: 0, buffer: Vec::new() };
        spill.begin_file()?;
        Ok(spill)
    }

    /// Adds a record; its place. After an error it is not there, and all others still are.
    pub fn put(&mut self, record: &[u8]) -> Result<u32, Error> {
        if self.buffer.len() >= WRITTEN_TOGETHER {
            self.write()?;
        }
        if self.end() >= self.file_bytes {
            self.write()?;
            self.begin_file()?;
        }
        let place = ((self.current as u32) << UNIT_BITS) | (self.end() / UNIT) as u32;
        self.buffer.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&checksum(place, record).to_le_bytes());
        self.buffer.extend_from_slice(record);
        self.buffer.resize(self.buffer.len().next_multiple_of(UNIT), 0);
        if let Some(part) = &mut self.files[self.current] {
            part.records += 1;
            part.needed += 1;
        }
        Ok(place)
    }

    /// Reads a record.
    pub fn get(&self, place: u32, into: &mut Vec<u8>) -> Result<(), Error> {
        into.clear();
        let (number, at) = ((place >> UNIT_BITS) as usize, (place & ((1 << UNIT_BITS) - 1)) as usize * UNIT);
        let Some(Some(part)) = self.files.get(number) else {
            return Err(Error::damaged(&self.dir, format!("file {number} is not there")));
        };
        let damaged =
            || Error::damaged(&part.path, format!("the record at byte {at} is not what was written"));
        if let Some(from) = at.checked_sub(part.written) {
            let whole = (number == self.current).then(|| self.buffer.get(from..)).flatten();
            let (_, _, record) = whole.and_then(parse).ok_or_else(damaged)?;
            into.extend_from_slice(record);
            return Ok(());
        }
        let read = |from: usize, into: &mut [u8]| {
            part.file.read_exact_at(into, from as u64).map_err(Error::io("read", &part.path))
        };
        into.resize(READ_FIRST.min(part.written - at), 0);
        read(at, into)?;
        let len = into.first_chunk().map_or(usize::MAX, |len| u32::from_le_bytes(*len) as usize);
        let all = len.saturating_add(HEAD);
        if all > part.written - at {
            return Err(damaged());
        }
        let first = into.len();
        into.resize(all, 0);
        if all > first {
            read(at + first, &mut into[first..])?;
        }
        let (_, sum, record) = parse(into).ok_or_else(damaged)?;
        if checksum(place, record) != sum {
            return Err(damaged());
        }
        into.drain(..HEAD);
        Ok(())
    }

    /// A record is not needed any more.
    pub fn remove(&mut self, place: u32) {
        let number = (place >> UNIT_BITS) as usize;
        let Some(slot) = self.files.get_mut(number) else { return };
        if let Some(part) = slot {
            part.needed = part.needed.saturating_sub(1);
            if part.needed == 0 && number != self.current {
                // If it stays, it is deleted at the next start.
                let _ = fs::remove_file(&part.path);
                *slot = None;
            }
        }
    }

    /// The places of a file of which hardly any record is needed, if more is not needed than is.
    pub fn sparse(&self) -> Result<Vec<u32>, Error> {
        let parts =
            || self.files.iter().enumerate().filter_map(|(number, part)| Some((number, part.as_ref()?)));
        let sum = |of: fn(&Part) -> u32| parts().map(|(_, part)| u64::from(of(part))).sum::<u64>();
        if parts().count() < FILES_FEW || sum(|part| part.needed) * 2 > sum(|part| part.records) {
            return Ok(Vec::new());
        }
        let others = parts().filter(|(number, _)| *number != self.current);
        // None is needed as a whole if less than half of all is.
        let Some((number, part)) =
            others.min_by_key(|(_, part)| u64::from(part.needed) * 1000 / u64::from(part.records.max(1)))
        else {
            return Ok(Vec::new());
        };
        let (mut at, mut places, mut head) = (0, Vec::new(), [0; 4]);
        while at < part.written {
            part.file.read_exact_at(&mut head, at as u64).map_err(Error::io("read", &part.path))?;
            places.push(((number as u32) << UNIT_BITS) | (at / UNIT) as u32);
            at += (HEAD + u32::from_le_bytes(head) as usize).next_multiple_of(UNIT);
        }
        Ok(places)
    }

    /// How many bytes the files have.
    pub fn bytes(&self) -> u64 {
        let written = self.files.iter().flatten().map(|part| part.written as u64).sum::<u64>();
        written + self.buffer.len() as u64
    }

    fn end(&self) -> usize {
        self.files[self.current].as_ref().map_or(0, |part| part.written) + self.buffer.len()
    }

    fn write(&mut self) -> Result<(), Error> {
        let Some(part) = &mut self.files[self.current] else { return Ok(()) };
        part.file.write_all_at(&self.buffer, part.written as u64).map_err(Error::io("write", &part.path))?;
        part.written += self.buffer.len();
        self.buffer.clear();
        Ok(())
    }

    fn begin_file(&mut self) -> Result<(), Error> {
        let number = self.files.iter().position(Option::is_none).unwrap_or(self.files.len());
        if number >= FILES_MAX {
            return Err(Error::damaged(&self.dir, format!("{FILES_MAX} files are as many as there can be")));
        }
        let path = self.dir.join(format!("{number}.spill"));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        let part = Some(Part { file, path, written: 0, records: 0, needed: 0 });
        // What is not needed of the last one has gone already.
        let last = std::mem::replace(&mut self.current, number);
        match self.files.get_mut(number) {
            Some(slot) => *slot = part,
            None => self.files.push(part),
        }
        if self.files[last].as_ref().is_some_and(|part| part.needed == 0 && part.records > 0)
            && let Some(part) = self.files[last].take_if(|_| last != number)
        {
            let _ = fs::remove_file(part.path);
        }
        Ok(())
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // If it stays, it is deleted at the next start.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn parse(bytes: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let len = u32::from_le_bytes(*len);
    Some((len, u32::from_le_bytes(*sum), rest.get(..len as usize)?))
}

/// The place is part of it: another record is not taken for this one.
fn checksum(place: u32, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(place);
    hasher.update(record);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn record(number: u32) -> Vec<u8> {
        let len = match number % 50 {
            0 => 5_000,
            1 => 0,
            n => n as usize * 20,
        };
        (0..len).map(|at| (number as usize * 31 + at) as u8).collect()
    }

    #[test]
    fn records_are_what_they_were_and_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("cold");
        let mut spill = Spill::open(&dir, 64 << 10).unwrap();
        let (mut places, mut read) = (BTreeMap::new(), Vec::new());
        let mut most = 0;
        for number in 0..20_000_u32 {
            places.insert(spill.put(&record(number)).unwrap(), number);
            // Most go soon, some stay.
            let gone = number.wrapping_mul(2_654_435_761) % number.saturating_sub(100).max(1);
            if number % 10 > 0
                && let Some((&place, _)) = places.iter().nth(gone as usize % places.len())
            {
                spill.remove(place);
                places.remove(&place);
            }
            for place in if number % 64 == 0 { spill.sparse().unwrap() } else { Vec::new() } {
                if let Some(number) = places.remove(&place) {
                    spill.get(place, &mut read).unwrap();
                    assert_eq!(read, record(number));
                    places.insert(spill.put(&read).unwrap(), number);
                    spill.remove(place);
                }
            }
            most = most.max(spill.bytes());
        }
        let needed: usize = places.values().map(|&number| record(number).len() + 32).sum();
        assert!(
            spill.bytes() < 4 * needed as u64 && most < 4_000_000,
            "{} of {needed}, {most}",
            spill.bytes()
        );
        for (&place, &number) in &places {
            spill.get(place, &mut read).unwrap();
            assert_eq!(read, record(number));
        }
        for (place, _) in places {
            spill.remove(place);
        }
        assert!(fs::read_dir(&dir).unwrap().count() <= 1, "only the one that is written");
        drop(spill);
        assert!(!dir.exists());
    }

    #[test]
    fn what_is_not_what_was_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        let (first, second) = (spill.put(b"one").unwrap(), spill.put(&[7; 3000]).unwrap());
        spill.write().unwrap();
        let mut read = Vec::new();
        spill.get(second, &mut read).unwrap();
        assert_eq!(read, [7; 3000]);
        let file = File::options().write(true).open(dir.path().join("0.spill")).unwrap();
        file.write_all_at(b"x", 16 + 2500).unwrap();
        let error = spill.get(second, &mut read).unwrap_err().to_string();
        assert!(error.contains("0.spill") && error.contains("at byte 16"), "{error}");
        file.write_all_at(&[0xff; 4], 0).unwrap();
        assert!(spill.get(first, &mut read).is_err());
        file.set_len(8).unwrap();
        assert!(spill.get(first, &mut read).is_err());
        assert!(spill.get(5 << UNIT_BITS, &mut read).is_err(), "there is no such file");
        let Err(error) = Spill::open(Path::new("/proc/none"), 1) else { panic!("/proc holds no files") };
        assert!(error.to_string().contains("/proc/none"), "{error}");
    }
}

//! What is in a journal's folder: read, judged, and not changed.
//!
//! Besides segments there are two kinds of empty files, whose names say all. `from-N`: the journal begins with number N, so
//! segments below are left from a prune that was interrupted, and the one that begins with N must be there. `cut-N-B`: the
//! journal is being cut back to the first B bytes of segment N.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::JournalError;
use super::frame::Kind;
use super::segment::{self, BadFrame, Frames, Index, SEGMENT_HEADER_BYTES};

/// A segment, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The number of its first record.
    pub first: u64,
    /// The number after its last record.
    pub next: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last written to, as far as the file system knows: of the segment that is being written, as of its
    /// beginning or the journal's opening.
    pub modified: SystemTime,
}

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Layout {
    /// All segments, without gaps. At least one.
    pub(super) segments: Vec<SegmentInfo>,
    /// The index and the salt of the last one.
    pub(super) index: Index,
    pub(super) salt: u32,
    /// How many bytes of a torn write follow its last frame.
    pub(super) torn_bytes: u64,
    /// Files that an interrupted operation would have deleted next, in this order.
    pub(super) leftovers: Vec<PathBuf>,
    /// That the journal is being cut back.
    pub(super) cut: Option<PathBuf>,
}

pub(super) fn begin_marker(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("from-{first:020}"))
}

pub(super) fn cut_marker(dir: &Path, first: u64, bytes: u64) -> PathBuf {
    dir.join(format!("cut-{first:020}-{bytes:020}"))
}

/// The names in a folder that mean something here.
#[derive(Debug, Default)]
struct Names {
    segments: Vec<u64>,
    begin: Option<u64>,
    cut: Option<(u64, u64)>,
}

impl Names {
    fn read(dir: &Path) -> io::Result<Names> {
        let mut names = Names::default();
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(first) = segment::first_of(name) {
                names.segments.push(first);
            } else if let Some(first) = name.strip_prefix("from-").and_then(|n| n.parse().ok()) {
                names.begin = names.begin.max(Some(first));
            } else if let Some((first, bytes)) = name.strip_prefix("cut-").and_then(|n| n.split_once('-')) {
                names.cut = first.parse().ok().zip(bytes.parse().ok());
            }
        }
        names.segments.sort_unstable();
        Ok(names)
    }
}

/// Reads what a folder holds; none where no journal has been there yet. `all` frames of all segments are checked, or
/// those of the last segment, and of the others how they begin and end.
pub(super) fn scan(dir: &Path, all: bool) -> Result<Option<Layout>, JournalError> {
    let names = Names::read(dir).map_err(|error| JournalError::io("read", dir, error))?;
    let Some(begin) = names.begin else {
        return match names.segments[..] {
            [] => Ok(None),
            [first] if len(dir, first)? <= SEGMENT_HEADER_BYTES => Ok(None),
            _ => {
                let found = "segments, and no file whose name begins with from-";
                Err(JournalError::damaged(dir, 0, "a file that names the first segment", found))
            }
        };
    };
    let mut leftovers = Vec::new();
    let (below, mut kept): (Vec<u64>, Vec<u64>) = names.segments.iter().partition(|first| **first < begin);
    if let Some((last, _)) = names.cut {
        let beyond = kept.split_off(kept.partition_point(|first| *first <= last));
        leftovers.extend(beyond.into_iter().rev());
    }
    leftovers.extend(below);
    let missing = |first: u64, named_by: PathBuf| {
        Err(JournalError::Missing { path: segment::path(dir, first), named_by })
    };
    if kept.first() != Some(&begin) {
        return missing(begin, begin_marker(dir, begin));
    }
    if let Some((last, bytes)) = names.cut.filter(|(last, _)| kept.last() != Some(last)) {
        return missing(last, cut_marker(dir, last, bytes));
    }
    let mut segments: Vec<SegmentInfo> = Vec::new();
    for pair in kept.windows(2) {
        let mut frames = Frames::open(dir, pair[0])?;
        let Some(seal) = frames.seal()? else {
            // The next segment is made before the seal; whatever was written into it came after the seal.
            if Some(&pair[1]) == kept.last() && is_unbegun(dir, pair[1])? {
                leftovers.insert(0, pair[1]);
                kept.pop();
                break;
            }
            while frames.next(frames.len()?)?.is_some() {}
            return Err(JournalError::damaged(frames.path(), frames.offset, "a seal", "the end of the file"));
        };
        if seal.next != pair[1] {
            return match seal.next < pair[1] {
                true => missing(seal.next, segment::path(dir, pair[0])),
                false => {
                    let expected = format!("an end before number {}, where the next segment begins", pair[1]);
                    let found = format!("an end before number {}", seal.next);
                    Err(JournalError::damaged(frames.path(), seal.offset, expected, found))
                }
            };
        }
        if all {
            while frames.next(frames.len()?)?.is_some() {}
        }
        segments.push(info(&frames, seal.next, frames.len()?)?);
    }
    let Some(last) = kept.last() else { return missing(begin, begin_marker(dir, begin)) };
    let mut frames = Frames::open(dir, *last)?;
    let file_bytes = frames.len()?;
    let limit = names.cut.map_or(file_bytes, |(_, bytes)| bytes.min(file_bytes));
    let mut index = Index::default();
    let torn_bytes = loop {
        match frames.next(limit) {
            Ok(None) => break file_bytes - limit,
            Ok(Some(frame)) if frame.header.kind == Some(Kind::Seal) => {
                return missing(frame.header.next, frames.path().to_owned());
            }
            Ok(Some(frame)) => index.add(frame.header.first, frame.offset),
            Err(BadFrame::Error(error)) => return Err(error),
            Err(BadFrame::Broken(error)) => {
                if frames.was_durable(frames.offset, limit)? {
                    return Err(error);
                }
                break file_bytes - frames.offset;
            }
        }
    };
    segments.push(info(&frames, frames.expected, frames.offset)?);
    let leftovers = leftovers.into_iter().map(|first| segment::path(dir, first)).collect();
    let cut = names.cut.map(|(first, bytes)| cut_marker(dir, first, bytes));
    Ok(Some(Layout { segments, index, salt: frames.salt(), torn_bytes, leftovers, cut }))
}

fn info(frames: &Frames, next: u64, bytes: u64) -> Result<SegmentInfo, JournalError> {
    Ok(SegmentInfo { first: frames.first(), next, bytes, modified: frames.modified()? })
}

fn len(dir: &Path, first: u64) -> Result<u64, JournalError> {
    let path = segment::path(dir, first);
    let metadata = fs::metadata(&path).map_err(|error| JournalError::io("read", &path, error))?;
    Ok(metadata.len())
}

/// Whether nothing was ever written to a segment but its header, or a part of that.
fn is_unbegun(dir: &Path, first: u64) -> Result<bool, JournalError> {
    let path = segment::path(dir, first);
    if len(dir, first)? > SEGMENT_HEADER_BYTES {
        return Ok(false);
    }
    let mut file = File::open(&path).map_err(|error| JournalError::io("open", &path, error))?;
    match segment::read_header(&mut file, &path, first) {
        Err(error @ (JournalError::Newer { .. } | JournalError::Io { .. })) => Err(error),
        _ => Ok(true),
    }
}

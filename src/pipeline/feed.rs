//! Merges what arrives, deals out batches, and writes what no pattern sees.

use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;

use super::failure::Failure;
use super::progress::Progress;
use super::reader::Arrivals;
use crate::event::Batch;
use crate::ingest::{Counters, Ingest, RejectedKind};

/// Takes the merged events, on this thread or on others.
pub(super) trait Shards {
    /// Takes the next batch.
    fn take(&mut self, batch: Batch) -> Result<(), Failure>;

    /// No more is there at the moment: what was found should not wait for it.
    fn pause(&mut self) -> Result<(), Failure>;
}

/// Where late events and dead letters go.
pub(super) struct Rejects<'a> {
    pub(super) late: Option<Box<dyn Write + Send + 'a>>,
    pub(super) dead_letters: Option<Box<dyn Write + Send + 'a>>,
}

/// Reads all inputs to their ends.
pub(super) fn feed(
    arrivals: &mut impl Arrivals,
    mut ingest: Ingest,
    batch_size: usize,
    shards: &mut impl Shards,
    rejects: &mut Rejects<'_>,
    progress: &Progress,
) -> Result<Counters, Failure> {
    while let Some(wanted) = ingest.wants() {
        let arrival = arrivals.next(wanted)?;
        progress.bytes.fetch_add(arrival.bytes, Relaxed);
        match arrival.decoded {
            Some(decoded) => ingest.push(arrival.input, decoded).map_err(Failure::Full)?,
            None => ingest.end(arrival.input),
        }
        progress.events.store(ingest.counters().events, Relaxed);
        if let Some(time) = ingest.watermark().filter(|time| time.0 != i64::MAX) {
            progress.time.store(time.0, Relaxed);
        }
        while let Some(batch) = ingest.batch(batch_size) {
            shards.take(batch)?;
        }
        shards.pause()?;
        rejects.write(&mut ingest)?;
    }
    Ok(ingest.counters())
}

impl Rejects<'_> {
    fn write(&mut self, ingest: &mut Ingest) -> Result<(), Failure> {
        let (mut late, mut dead_letters) = (Vec::new(), Vec::new());
        for rejected in ingest.rejected() {
            let lines = match rejected.kind {
                RejectedKind::Late { .. } if self.late.is_some() => &mut late,
                RejectedKind::Dead(_) if self.dead_letters.is_some() => &mut dead_letters,
                _ => continue,
            };
            rejected.write_json(lines);
            lines.push(b'\n');
        }
        let put = |writer: &mut Option<Box<dyn Write + Send + '_>>, lines: &[u8]| match writer {
            Some(writer) if !lines.is_empty() => writer.write_all(lines).and_then(|()| writer.flush()),
            _ => io::Result::Ok(()),
        };
        put(&mut self.late, &late).map_err(|error| Failure::Write("late events", error))?;
        put(&mut self.dead_letters, &dead_letters).map_err(|error| Failure::Write("dead letters", error))
    }
}

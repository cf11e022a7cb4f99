//! The twin of a live service: its control log and its events, run again, give what it gave.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crossbeam_channel::bounded;

use super::collect::collect;
use super::decision::{Decision, Entry};
use super::failure::Failure;
use super::live::{Declared, idle};
use super::merger::{Merger, Taker};
use super::progress::Progress;
use super::replay::{Outputs, QUEUE_LEN, Remote, Summary, closed, ended, sum};
use super::shard::{self, Cut, Step};
use crate::connect::export::{self, Record};
use crate::engine::{Counters, Engine};
use crate::event::key::KeyHasher;
use crate::event::{Batch, Timestamp};
use crate::ingest::RejectedKind;

/// Lines are passed on together up to this size, in bytes.
const STRETCH_BYTES: usize = 256 << 10;

/// A replay of what a service did.
pub struct Twin {
    /// Its control log.
    pub entries: Vec<Entry>,
    /// Exports of its events; each has all streams, or some. The events of a stream come in order, file by file.
    pub files: Vec<String>,
    /// Engine shards, each on a thread.
    pub threads: usize,
    /// Events in a batch at most.
    pub batch_size: usize,
    /// Events that may wait for their watermark.
    pub max_buffered_events: usize,
    /// Raised as the run goes.
    pub progress: Arc<Progress>,
}

/// The entries of a control log that was exported.
pub fn entries(text: &str) -> Result<Vec<Entry>, Failure> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in lines {
        let entry: Entry = serde_json::from_str(line)
            .map_err(|error| Failure::ControlEntry(number as u64, error.to_string()))?;
        if entries.last().is_some_and(|last| last.sequence + 1 != entry.sequence) {
            let why = format!("it has number {}, which does not follow the one before", entry.sequence);
            return Err(Failure::ControlEntry(number as u64, why));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Where to stop.
struct End {
    time: Option<Timestamp>,
    offsets: BTreeMap<String, u64>,
}

/// A stream's events, over all files.
struct Lines {
    name: String,
    files: VecDeque<String>,
    file: Option<(String, Box<dyn BufRead + Send>)>,
    next: u64,
    /// The first line that is not wanted.
    end: Option<u64>,
    line: Vec<u8>,
}

impl Lines {
    /// The next lines, and the number of the first; none at the end.
    fn next(&mut self, known: &BTreeMap<String, usize>) -> Result<Option<(u64, Vec<u8>)>, Failure> {
        let first = self.next;
        let mut lines = Vec::new();
        while lines.len() < STRETCH_BYTES && self.end.is_none_or(|end| self.next < end) {
            let Some((path, file)) = &mut self.file else {
                let Some(path) = self.files.pop_front() else { break };
                let file = export::open(&path).map_err(|error| Failure::Read(format!("`{path}`"), error))?;
                self.file = Some((path, file));
                continue;
            };
            self.line.clear();
            let read = file.read_until(b'\n', &mut self.line);
            if read.map_err(|error| Failure::Read(format!("`{path}`"), error))? == 0 {
                self.file = None;
                continue;
            }
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let bad = |why: String| Failure::Export(path.clone(), why);
            let record = Record::read(line).map_err(|why| bad(format!("a line is no record: {why}")))?;
            // Where the control log ends at a frontier, events may have been exported later than it.
            if self.end.is_none() && !known.contains_key(&*record.stream) {
                let why = format!("the control log does not declare the stream `{}`", record.stream);
                return Err(bad(why));
            }
            if record.stream != self.name {
                continue;
            }
            if record.offset != self.next {
                let (stream, next, found) = (&self.name, self.next, record.offset);
                return Err(bad(format!(
                    "`{stream}` goes on with offset {found} where {next} is expected: events are missing, come twice, or the files are in another order"
                )));
            }
            lines.extend_from_slice(&record.line().map_err(bad)?);
            lines.push(b'\n');
            self.next += 1;
        }
        Ok((!lines.is_empty()).then_some((first, lines)))
    }
}

impl Twin {
    /// Runs up to the frontier at the end of the control log, or to the end of all events where there is none.
    pub fn run(self, outputs: Outputs<'_>) -> Result<Summary, Failure> {
        catch_unwind(AssertUnwindSafe(|| self.run_unguarded(outputs))).unwrap_or(Err(Failure::Panicked))
    }

    fn run_unguarded(self, outputs: Outputs<'_>) -> Result<Summary, Failure> {
        let Twin { entries, files, threads, batch_size, max_buffered_events, progress } = self;
        let end = entries.last().and_then(|last| match &last.decision {
            Decision::Frontier { time, offsets } => Some(End { time: *time, offsets: offsets.clone() }),
            _ => None,
        });
        let streams: Vec<_> = Declared::of(&entries).first.into_iter().collect();
        let lines = streams.iter().map(|(name, _)| Lines {
            name: name.clone(),
            files: files.iter().cloned().collect(),
            file: None,
            next: 0,
            end: end.as_ref().map(|end| end.offsets.get(name).copied().unwrap_or(0)),
            line: Vec::new(),
        });
        let lines = lines.collect();
        let shards = threads.max(1) as u32;
        let hasher = KeyHasher::default();
        let of_several = (shards > 1).then(|| hasher.clone());
        let mut merger = Merger::new(streams, batch_size.max(1), max_buffered_events, of_several);
        // Who waits for whom says only when something leaves, which nobody sees here.
        let decisions = entries.iter().filter(|entry| !matches!(entry.decision, Decision::Idle { .. }));
        decisions.for_each(|entry| merger.decide(entry));
        let idle = idle(&entries);
        let engines: Vec<Engine> = (0..shards)
            .map(|shard| Engine::new(Arc::clone(merger.set()), hasher.clone(), shard, shards))
            .collect();
        let Outputs { mut matches, mut late, mut dead_letters } = outputs;
        thread::scope(|scope| {
            let (mut to_shards, mut from_shards, mut running) = (Vec::new(), Vec::new(), Vec::new());
            for engine in engines {
                let (to_shard, steps) = bounded(QUEUE_LEN);
                let (pieces, from_shard) = bounded(QUEUE_LEN);
                to_shards.push(to_shard);
                from_shards.push(from_shard);
                running.push(scope.spawn(move || shard::run(engine, &steps, &pieces, None, |_, _| {})));
            }
            let counted = Arc::clone(&progress);
            let writer = scope.spawn(move || collect(&from_shards, &mut matches, &counted));
            let mut shards = Remote { shards: to_shards };
            let fed = Feed { merger: &mut merger, end, late: &mut late, dead_letters: &mut dead_letters }
                .feed(lines, &idle, &mut shards, &progress);
            drop(shards);
            let counters: Vec<_> = running.into_iter().map(|shard| ended(shard.join())).collect();
            match writer.join() {
                Err(_) => return Err(Failure::Panicked),
                Ok(Err(error)) => return Err(Failure::Write("matches", error)),
                Ok(Ok(())) => {}
            }
            let counters: Result<Vec<Counters>, _> = counters.into_iter().collect();
            let engine = counters?.into_iter().reduce(sum).unwrap_or_default();
            fed?;
            let patterns = merger.set().names().map(str::to_owned).collect();
            Ok(Summary { ingest: merger.ingest().counters(), engine, patterns })
        })
    }
}

type Sink<'a> = Option<Box<dyn Write + Send + 'a>>;

struct Feed<'m, 'a> {
    merger: &'m mut Merger,
    end: Option<End>,
    late: &'m mut Sink<'a>,
    dead_letters: &'m mut Sink<'a>,
}

impl Feed<'_, '_> {
    fn feed(
        mut self,
        lines: Vec<Lines>,
        idle: &BTreeMap<String, u64>,
        shards: &mut Remote,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let end = self.end.take();
        if let Some(End { time, .. }) = &end {
            self.merger.set_end(time.unwrap_or(Timestamp::MIN));
        }
        // Before any time nothing has left, whatever came.
        let emits = end.as_ref().is_none_or(|end| end.time.is_some());
        let known: BTreeMap<String, usize> =
            lines.iter().enumerate().map(|(number, lines)| (lines.name.clone(), number)).collect();
        if let Some(End { offsets, .. }) = &end
            && let Some(name) = offsets.iter().find(|(name, to)| **to > 0 && !known.contains_key(*name))
        {
            return Err(Failure::Export(
                "the control log".to_owned(),
                format!("its frontier names the stream `{}`, which it does not declare", name.0),
            ));
        }
        let mut open: Vec<(usize, Lines)> = lines.into_iter().enumerate().collect();
        while !open.is_empty() {
            // The stream that the others wait for is read first, so that little has to wait.
            let ingest = self.merger.ingest();
            let place = (0..open.len()).min_by_key(|&place| ingest.watermark_of(open[place].0));
            let Some(place) = place else { break };
            let (stream, lines) = &mut open[place];
            match lines.next(&known)? {
                Some((first, text)) => {
                    progress.bytes.fetch_add(text.len() as u64, Relaxed);
                    self.merger.lines(*stream, first, text).map_err(Failure::Full)?;
                }
                None => {
                    if let Some(to) = lines.end.filter(|to| lines.next < *to) {
                        return Err(Failure::Export(
                            lines.name.clone(),
                            format!(
                                "its events end before offset {}, the frontier of the control log is at {to}: export the events after the control log, and name all files",
                                lines.next
                            ),
                        ));
                    }
                    self.merger.ingest().end(*stream);
                    // At the frontier, the service went on with all that were not idle.
                    let goes_on = lines.end.is_some() && !idle.contains_key(&lines.name);
                    self.merger.ingest().set_idle(*stream, !goes_on);
                    open.swap_remove(place);
                }
            }
            progress.events.store(self.merger.ingest().counters().events, Relaxed);
            if emits {
                self.merger.run(shards)?;
                self.reject()?;
            }
        }
        if emits {
            self.merger.run(shards)?;
            self.reject()?;
        }
        if end.is_none() { shards.tell(|| Step::Finish) } else { Ok(()) }
    }

    fn reject(&mut self) -> Result<(), Failure> {
        let mut line = Vec::new();
        for rejected in self.merger.rejected() {
            let declared = self.merger.streams()[rejected.stream as usize].declaration_of(rejected.offset);
            let (to, what) = match rejected.kind {
                RejectedKind::Late { .. } if !declared.keeps_late => continue,
                RejectedKind::Late { .. } => (&mut *self.late, "late events"),
                RejectedKind::Dead(_) => (&mut *self.dead_letters, "dead letters"),
            };
            if let Some(to) = to {
                line.clear();
                rejected.write_json(&mut line);
                line.push(b'\n');
                to.write_all(&line).map_err(|error| Failure::Write(what, error))?;
            }
        }
        for (to, what) in [(&mut *self.late, "late events"), (&mut *self.dead_letters, "dead letters")] {
            if let Some(to) = to {
                to.flush().map_err(|error| Failure::Write(what, error))?;
            }
        }
        Ok(())
    }
}

impl Taker for Remote {
    fn batch(&mut self, batch: Batch) -> Result<(), Failure> {
        let batch = Arc::new(batch);
        self.tell(|| Step::Batch(Arc::clone(&batch)))
    }

    fn advance(&mut self, to: Timestamp) -> Result<(), Failure> {
        self.tell(|| Step::Reach(to))
    }

    fn cut(&mut self, cut: Cut) -> Result<(), Failure> {
        let cut = Arc::new(cut);
        self.shards.iter().try_for_each(|shard| shard.send(Step::Cut(Arc::clone(&cut))).map_err(|_| closed()))
    }
}

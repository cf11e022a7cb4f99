//! One partition: how far its time has come, and what of it waits.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::blocks::{BlockNumber, Blocks, Span};
use serde::{Deserialize, Serialize};

use super::lateness::Lateness;
use super::merge::PartitionSettings;
use super::rejected::{Rejected, RejectedKind};
use super::seen::Seen;
use super::stragglers::{Entry, Stragglers};
use crate::event::decode::{DeadLetter, Reason};
use crate::event::{Block, EventId, TimeSpan, Timestamp};

/// A partition of the input.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) stream: u32,
    pub(super) number: u32,
    bound: TimeSpan,
    max_jump: Option<TimeSpan>,
    flushes: bool,
    /// The highest event time so far.
    pub(super) highest: Option<Timestamp>,
    /// Events at or below it are late, wherever the highest time is.
    floor: Option<Timestamp>,
    /// The last decision about it that is in force.
    pub(super) since: u64,
    /// Floors that are to be in force from an offset on, in the order of offsets, each with the decision that says so.
    marks: VecDeque<(u64, Timestamp, u64)>,
    pub(super) ended: bool,
    pub(super) idle: bool,
    /// What was taken before a restart, as long as it is read again.
    again: Option<Again>,
    /// Where to read again from, for every stretch of which something waits.
    starts: VecDeque<Start>,
    /// The offset after the last line that came.
    next: u64,
    /// What waits of the events that came in order, none below any before it.
    in_order: VecDeque<Span>,
    /// What waits of the others. Each came after a later event, so after all events in order of its own time.
    stragglers: Stragglers,
    /// Late events and dead letters; their order is the order in which they came.
    pub(super) rejected: VecDeque<Rejected>,
    /// The ids that are remembered, and how many events came whose id was.
    pub(super) seen: Seen,
    pub(super) duplicates: u64,
    /// Events that came, those that came late, and how far behind those came that were not in order.
    pub(super) events: u64,
    pub(super) late: u64,
    pub(super) lateness: Lateness,
}

/// Lines before `below` have been seen before: of them, events up to `taken` have been taken.
#[derive(Debug, Clone, Copy)]
struct Again {
    below: u64,
    taken: Timestamp,
    /// What was rejected before this line has left.
    rejected: u64,
}

/// How a partition stood when a stretch came.
#[derive(Debug, Clone, Copy)]
struct Start {
    block: BlockNumber,
    at: Resume,
}

/// Where a partition goes on after a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The first line to read again.
    pub from: u64,
    /// The highest event time before it.
    pub highest: Option<Timestamp>,
    /// The floor that was in force before it.
    pub floor: Option<Timestamp>,
    /// The first line that was not seen before.
    pub next: u64,
    /// Rejected lines before this one have left.
    pub rejected: u64,
}

impl Partition {
    pub(super) fn new(settings: &PartitionSettings) -> Partition {
        Partition {
            stream: settings.stream,
            number: settings.number,
            bound: TimeSpan(settings.out_of_orderness.0.max(0)),
            max_jump: settings.max_time_jump,
            flushes: settings.flushes,
            highest: None,
            floor: None,
            since: 0,
            marks: VecDeque::new(),
            ended: false,
            idle: false,
            again: None,
            starts: VecDeque::new(),
            next: 0,
            in_order: VecDeque::new(),
            stragglers: Stragglers::default(),
            rejected: VecDeque::new(),
            seen: Seen::new(settings.remember),
            duplicates: 0,
            events: 0,
            late: 0,
            lateness: Lateness::default(),
        }
    }

    /// From the next line on, these settings hold.
    pub(super) fn redeclare(&mut self, settings: &PartitionSettings) {
        self.bound = TimeSpan(settings.out_of_orderness.0.max(0));
        self.max_jump = settings.max_time_jump;
        self.flushes = settings.flushes;
        self.seen.set(settings.remember, self.next);
    }

    /// Goes on where a partition of an earlier run stood, when all events up to `taken` had been taken.
    pub(super) fn resume(&mut self, at: &Resume, taken: Option<Timestamp>) {
        self.highest = at.highest;
        self.floor = at.floor;
        self.next = at.from;
        self.again = taken.map(|taken| Again { below: at.next, taken, rejected: at.rejected });
    }

    /// From an offset on, events at or below `floor` are late; decision number `since` says so.
    pub(super) fn mark(&mut self, offset: u64, floor: Timestamp, since: u64) {
        self.marks.push_back((offset, floor, since));
        self.pass(self.next);
    }

    /// No event at or below it will be taken any more; none as long as any may come.
    pub(super) fn watermark(&self) -> Option<Timestamp> {
        let behind = |highest: Timestamp| highest.0.checked_sub(self.bound.0)?.checked_sub(1).map(Timestamp);
        self.highest.and_then(behind).max(self.floor)
    }

    /// How far time has come in silence: all that may come later comes after it.
    pub(super) fn in_silence(&self) -> Option<Timestamp> {
        if self.flushes { self.highest.max(self.floor) } else { self.watermark() }
    }

    /// The time that has to be reached for the first of what waits to leave.
    pub(super) fn due(&self, blocks: &Blocks) -> Option<Timestamp> {
        let in_order = self.in_order.front().map(|span| blocks.time(span.block, span.rows.start));
        let rejected = self.rejected.front().map(|one| one.reached.unwrap_or(Timestamp::MIN));
        [in_order, self.stragglers.first(), rejected].into_iter().flatten().min()
    }

    /// Where to go on after a restart.
    pub(super) fn resume_point(&mut self, blocks: &Blocks) -> Resume {
        let waits = self.rejected.front().map(|rejected| rejected.offset);
        while let Some(start) = self.starts.front() {
            let end = self.starts.get(1).map_or(self.next, |next| next.at.from);
            if blocks.waits(start.block) || waits.is_some_and(|offset| offset < end) {
                break;
            }
            self.starts.pop_front();
        }
        let now = Resume { from: self.next, highest: self.highest, floor: self.floor, ..Resume::default() };
        let rejected = waits.unwrap_or(self.next);
        Resume { next: self.next, rejected, ..self.starts.front().map_or(now, |start| start.at) }
    }

    /// Takes the next stretch of lines. How many of its events are to leave, and how many were late.
    pub(super) fn push(
        &mut self,
        block: &Arc<Block>,
        ids: &[Option<EventId>],
        number: BlockNumber,
        lines: u64,
        dead: Vec<DeadLetter>,
    ) -> (usize, usize) {
        let (all, rejected) = (block.heads.len(), self.rejected.len());
        let from = self.next;
        let at = Resume { from, highest: self.highest, floor: self.floor, ..Resume::default() };
        self.starts.push_back(Start { block: number, at });
        let (mut taken, mut row, mut stragglers) = (0, 0, Vec::new());
        let mut dead = dead.into_iter().peekable();
        while let Some(boundary) = self.boundary(from + lines, dead.peek()) {
            let to = block.heads[row..].partition_point(|head| head.position.offset < boundary) + row;
            taken += self.new_events(block, ids, number, row..to, &mut stragglers);
            row = to;
            self.pass(boundary);
            if let Some(letter) = dead.next_if(|letter| letter.offset == boundary) {
                self.reject(letter.offset, RejectedKind::Dead(letter));
            }
        }
        taken += self.new_events(block, ids, number, row..all, &mut stragglers);
        taken += stragglers.len();
        self.stragglers.push(stragglers);
        self.next = from + lines;
        self.pass(self.next);
        let is_late = |rejected: &&Rejected| matches!(rejected.kind, RejectedKind::Late { .. });
        let late = self.rejected.range(rejected..).filter(is_late).count();
        self.events += all as u64;
        self.late += late as u64;
        (taken, late)
    }

    /// The next offset in a stretch that ends at `end` at which something else than an event stands or begins to hold.
    fn boundary(&self, end: u64, letter: Option<&DeadLetter>) -> Option<u64> {
        let mark = self.marks.front().map(|(offset, ..)| *offset);
        let again = self.again.map(|again| again.below);
        let offsets = [mark, again, letter.map(|letter| letter.offset)];
        offsets.into_iter().flatten().min().filter(|&offset| offset < end)
    }

    /// What begins to hold at an offset.
    fn pass(&mut self, offset: u64) {
        while let Some(&(_, floor, since)) = self.marks.front().filter(|(at, ..)| *at <= offset) {
            self.floor = self.floor.max(Some(floor));
            self.since = since;
            self.marks.pop_front();
        }
        if self.again.is_some_and(|again| again.below <= offset) {
            self.again = None;
        }
    }

    /// Takes rows of a block, but those whose ids are remembered. How many of their events are in order.
    fn new_events(
        &mut self,
        block: &Arc<Block>,
        ids: &[Option<EventId>],
        number: BlockNumber,
        rows: Range<usize>,
        stragglers: &mut Vec<Entry>,
    ) -> usize {
        if !self.seen.is_on() {
            return self.events(block, number, rows, stragglers);
        }
        let mut in_order = 0;
        for row in rows {
            let (time, offset) = (block.heads[row].time, block.heads[row].position.offset);
            if let Some(id) = ids.get(row).copied().flatten() {
                let is_rejected = time > self.furthest() || Some(time) <= self.watermark();
                if self.seen.knows(id, self.watermark(), offset) {
                    self.duplicates += 1;
                    // Time goes on with it: else ids that come again and again would never be forgotten.
                    if !is_rejected {
                        self.highest = self.highest.max(Some(time));
                    }
                    continue;
                }
                // One that is rejected may be sent again.
                if !is_rejected {
                    self.seen.add(id, time, offset);
                }
            }
            in_order += self.events(block, number, row..row + 1, stragglers);
        }
        in_order
    }

    /// Takes rows of a block. How many of their events are in order.
    fn events(
        &mut self,
        block: &Arc<Block>,
        number: BlockNumber,
        rows: Range<usize>,
        stragglers: &mut Vec<Entry>,
    ) -> usize {
        let heads = &block.heads;
        let Range { start: mut row, end } = rows;
        let mut in_order = 0;
        let taken = self.again.map_or(Timestamp::MIN, |again| again.taken);
        while row < end {
            let from = row;
            let mut highest = self.least_in_order();
            let mut limit = self.furthest();
            while row < end && heads[row].time >= highest && heads[row].time <= limit {
                highest = heads[row].time;
                if let Some(jump) = self.max_jump {
                    limit = highest.plus(jump);
                }
                row += 1;
            }
            if row > from {
                self.highest = Some(highest);
                // What was taken before comes first, in the order of time.
                let again = match self.again {
                    Some(_) => heads[from..row].partition_point(|head| head.time <= taken),
                    None => 0,
                };
                let rows = (from + again) as u32..row as u32;
                match self.in_order.back_mut() {
                    Some(last) if last.block == number && last.rows.end == rows.start => {
                        last.rows.end = rows.end
                    }
                    _ if rows.is_empty() => {}
                    _ => self.in_order.push_back(Span { block: number, rows }),
                }
                in_order += row - from - again;
            }
            let limit = self.furthest();
            let watermark = self.watermark();
            stragglers.reserve(end - row);
            while row < end && (heads[row].time < highest || heads[row].time > limit) {
                let head = &heads[row];
                if head.time < highest {
                    self.lateness.add(highest.0.abs_diff(head.time.0));
                }
                if head.time > limit {
                    let (reason, offset) = (Reason::Ahead(limit), head.position.offset);
                    let raw = block.row(row).raw().into();
                    self.reject(offset, RejectedKind::Dead(DeadLetter { after: row, offset, reason, raw }));
                } else if Some(head.time) <= watermark {
                    let watermark = watermark.unwrap_or(Timestamp::MIN);
                    let kind = RejectedKind::Late { block: Arc::clone(block), row: row as u32, watermark };
                    self.reject(head.position.offset, kind);
                } else if self.again.is_none() || head.time > taken {
                    stragglers.push(Entry { time: head.time, block: number, row: row as u32 });
                }
                row += 1;
            }
        }
        in_order
    }

    /// From this time on, the next event is in order.
    fn least_in_order(&self) -> Timestamp {
        let after = |floor: Timestamp| Timestamp(floor.0.saturating_add(1));
        self.highest.max(self.floor.map(after)).unwrap_or(Timestamp::MIN)
    }

    /// Up to this time, the next event does not run too far ahead.
    fn furthest(&self) -> Timestamp {
        self.highest
            .max(self.floor)
            .zip(self.max_jump)
            .map_or(Timestamp::MAX, |(highest, jump)| highest.plus(jump))
    }

    fn reject(&mut self, offset: u64, kind: RejectedKind) {
        let reached = self.watermark();
        if self.again.is_some_and(|again| offset < again.rejected) {
            return;
        }
        self.rejected.push_back(Rejected {
            reached,
            since: self.since,
            stream: self.stream,
            partition: self.number,
            offset,
            kind,
        });
    }

    /// Moves what waits up to a time to `spans` and `entries`, each in order. How many events that are.
    pub(super) fn release(
        &mut self,
        up_to: Timestamp,
        blocks: &Blocks,
        spans: &mut Vec<Span>,
        entries: &mut Vec<Entry>,
    ) -> usize {
        spans.clear();
        while let Some(span) = self.in_order.front_mut() {
            let count = blocks.count_up_to(span, up_to);
            if count < span.rows.len() as u32 {
                let split = span.rows.start + count;
                if count > 0 {
                    spans.push(Span { block: span.block, rows: span.rows.start..split });
                    span.rows.start = split;
                }
                break;
            }
            spans.extend(self.in_order.pop_front());
        }
        self.stragglers.release(up_to, entries);
        entries.len() + spans.iter().map(|span| span.rows.len()).sum::<usize>()
    }
}

//! The merge of partitions against a sort: whatever the interleaving of reads, the cuts between stretches and the size
//! of batches, the same events leave in the same order, and the same lines are set aside in the same order.

use proptest::prelude::*;
use sequor::event::decode::{Decoded, Decoder};
use sequor::event::record::StreamSettings;
use sequor::event::{Position, Schema, TimeSpan, Timestamp};
use sequor::ingest::{BufferFull, Ingest, PartitionSettings, RejectedKind};

/// A line: an event at a time, or no event.
type Line = Option<i64>;

/// An input: the rank of its stream, and its lines. Its index is the partition's number.
type Input = (u32, Vec<Line>);

/// From an offset of an input on, events up to a time are late.
type Mark = (usize, u64, Timestamp);

/// (time, position) of what was taken, and (late, watermark before, partition, offset) of what was set aside.
#[derive(Debug, Default, PartialEq)]
struct Order {
    taken: Vec<(i64, Position)>,
    aside: Vec<(bool, Option<i64>, u32, u64)>,
}

fn decode(lines: &[Line], stream: u32, partition: u32, offset: u64) -> Decoded {
    let text: String = lines
        .iter()
        .map(|line| line.map_or("oops\n".to_owned(), |time| format!("{{\"ts\":{time}}}\n")))
        .collect();
    let mut decoder = Decoder::new(&Schema::default(), &StreamSettings::default());
    decoder.decode(text.into_bytes(), Position { stream, partition, offset })
}

/// A merge of partitions of these streams.
fn ingest(streams: &[u32], bound: i64, limit: usize) -> Ingest {
    let settings = |(number, stream): (u32, &u32)| PartitionSettings::new(*stream, number, TimeSpan(bound));
    Ingest::new(&(0..).zip(streams).map(settings).collect::<Vec<_>>(), limit)
}

/// What the rules say, without any cleverness.
fn expected(inputs: &[Input], bound: i64, marks: &[Mark]) -> Order {
    let mut order = Order::default();
    let mut aside = Vec::new();
    for (partition, (stream, lines)) in inputs.iter().enumerate() {
        let mut highest: Option<i64> = None;
        for (offset, line) in (0..).zip(lines) {
            let behind = highest.and_then(|h| h.checked_sub(bound)?.checked_sub(1));
            let marks =
                (1..).zip(marks).filter(|(_, (input, from, _))| *input == partition && *from <= offset);
            let since = marks.clone().map(|(since, _)| since).max().unwrap_or(0);
            let watermark = behind.max(marks.map(|(_, (_, _, floor))| floor.0).max());
            let partition = partition as u32;
            match line {
                None => aside.push((watermark, since, partition, *stream, offset, false)),
                Some(time) if Some(*time) <= watermark => {
                    aside.push((watermark, since, partition, *stream, offset, true));
                }
                Some(time) => {
                    order.taken.push((*time, Position { stream: *stream, partition, offset }));
                    highest = highest.max(Some(*time));
                }
            }
        }
    }
    order.taken.sort();
    aside.sort();
    order.aside = aside
        .into_iter()
        .map(|(watermark, _, partition, _, offset, late): (_, u64, _, _, _, _)| {
            (late, watermark, partition, offset)
        })
        .collect();
    order
}

/// Takes out all that may leave.
fn drain(ingest: &mut Ingest, batch: usize, order: &mut Order) {
    while let Some(batch) = ingest.batch(batch) {
        for (block, row) in batch.events() {
            let head = block.row(row).head;
            order.taken.push((head.time.0, head.position));
        }
    }
    for rejected in ingest.rejected() {
        let late = matches!(rejected.kind, RejectedKind::Late { .. });
        order.aside.push((late, rejected.reached.map(|t| t.0), rejected.partition, rejected.offset));
    }
}

/// Runs the merge: `schedule` says which input is read next (wrapping around those not ended) and how many lines of it.
fn merged(inputs: &[Input], bound: i64, batch: usize, schedule: &[(usize, usize)]) -> Order {
    let streams: Vec<u32> = inputs.iter().map(|(stream, _)| *stream).collect();
    let mut ingest = ingest(&streams, bound, usize::MAX);
    let mut read = vec![0; inputs.len()];
    let mut live: Vec<usize> = (0..inputs.len()).collect();
    let mut order = Order::default();
    let mut steps = schedule.iter().cycle();
    while !live.is_empty() {
        let (pick, lines) = steps.next().unwrap();
        let place = pick % live.len();
        let input = live[place];
        let (stream, all) = &inputs[input];
        let to = (read[input] + lines).min(all.len());
        let decoded = decode(&all[read[input]..to], *stream, input as u32, read[input] as u64);
        ingest.push(input, decoded).unwrap();
        read[input] = to;
        if to == all.len() {
            ingest.end(input);
            live.remove(place);
        }
        drain(&mut ingest, batch, &mut order);
        // Nothing stays that may leave.
        let watermark = ingest.watermark();
        let known = inputs.iter().zip(&read).map(|((stream, lines), to)| (*stream, lines[..*to].to_vec()));
        let known = expected(&known.collect::<Vec<_>>(), bound, &[]).taken;
        let due = known.iter().filter(|(time, _)| watermark.is_some_and(|w| Timestamp(*time) <= w)).count();
        assert_eq!(order.taken.len(), due);
    }
    order
}

/// Runs the merge with restarts, and with inputs that are silent for a while; what came out, and the marks that were set
/// for inputs that came back.
fn interrupted(inputs: &[Input], bound: i64, steps: &[(usize, usize, u8)]) -> (Order, Vec<Mark>) {
    let streams: Vec<u32> = inputs.iter().map(|(stream, _)| *stream).collect();
    let mut merge = ingest(&streams, bound, usize::MAX);
    let mut read = vec![0; inputs.len()];
    let mut silent = vec![false; inputs.len()];
    let mut marks: Vec<Mark> = Vec::new();
    let mut order = Order::default();
    // Some inputs may never be picked.
    let mut steps = steps.iter().cycle().take(200);
    let push = |merge: &mut Ingest, input: usize, from: usize, to: usize| {
        let (stream, lines) = &inputs[input];
        let decoded = decode(&lines[from..to], *stream, input as u32, from as u64);
        merge.push(input, decoded).unwrap();
    };
    while read.iter().zip(inputs).any(|(read, (_, lines))| *read < lines.len()) {
        let Some((pick, lines, what)) = steps.next() else { break };
        let input = pick % inputs.len();
        match what {
            0 => {
                silent[input] = true;
                merge.set_idle(input, true);
            }
            1 => {
                let (points, frontier) = (merge.resume_points(), merge.frontier());
                merge = ingest(&streams, bound, usize::MAX);
                merge.resume(&points, frontier);
                for (since, (input, offset, floor)) in (1..).zip(&marks) {
                    merge.mark(*input, *offset, *floor, since);
                }
                for (input, at) in points.iter().enumerate() {
                    merge.set_idle(input, silent[input]);
                    assert_eq!(at.next, read[input] as u64);
                    push(&mut merge, input, at.from as usize, read[input]);
                }
            }
            _ => {}
        }
        if *what > 1 {
            if std::mem::take(&mut silent[input]) {
                merge.set_idle(input, false);
                if let Some(floor) = merge.frontier() {
                    marks.push((input, read[input] as u64, floor));
                    merge.mark(input, read[input] as u64, floor, marks.len() as u64);
                }
            }
            let to = (read[input] + lines).min(inputs[input].1.len());
            push(&mut merge, input, read[input], to);
            read[input] = to;
        }
        drain(&mut merge, 7, &mut order);
    }
    for (input, from) in read.iter().enumerate() {
        if std::mem::take(&mut silent[input]) {
            merge.set_idle(input, false);
            if let Some(floor) = merge.frontier() {
                marks.push((input, *from as u64, floor));
                merge.mark(input, *from as u64, floor, marks.len() as u64);
            }
        }
        push(&mut merge, input, *from, inputs[input].1.len());
        merge.end(input);
    }
    drain(&mut merge, 7, &mut order);
    (order, marks)
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let time = prop_oneof![
        8 => (0..40i64).prop_map(Some),
        2 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(-1), Just(i64::MAX - 1), Just(i64::MAX)].prop_map(Some),
        1 => Just(None),
    ];
    let ordered = prop::collection::vec(0..40i64, 0..60).prop_map(|mut times| {
        times.sort();
        times.into_iter().map(Some).collect()
    });
    let rising = prop::collection::vec((0..9i64, 0..6i64), 0..60).prop_map(|steps| {
        steps.iter().enumerate().map(|(i, (ahead, _))| Some(i as i64 + ahead)).collect::<Vec<Line>>()
    });
    let lines = prop_oneof![prop::collection::vec(time, 0..60), ordered, rising];
    prop::collection::vec((0..3u32, lines), 1..5)
}

fn bound() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 1..20i64, Just(i64::MAX), Just(i64::MAX - 1), Just(1 << 62)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_interleaving_gives_the_order_of_a_sort(
        inputs in inputs(),
        bound in bound(),
        batch in 1..20usize,
        schedule in prop::collection::vec((0..5usize, 1..12usize), 1..8),
    ) {
        prop_assert_eq!(merged(&inputs, bound, batch, &schedule), expected(&inputs, bound, &[]));
    }

    #[test]
    fn restarts_and_silence_give_what_the_marks_say(
        inputs in inputs(),
        bound in bound(),
        steps in prop::collection::vec((0..5usize, 1..12usize, 0..10u8), 1..12),
    ) {
        let (found, marks) = interrupted(&inputs, bound, &steps);
        prop_assert_eq!(found, expected(&inputs, bound, &marks));
    }
}

#[test]
fn an_event_at_its_partitions_watermark_is_late_and_does_not_move_it() {
    let late = |times: &[i64], bound| {
        let order = expected_and_merged(&[(0, times.iter().map(|t| Some(*t)).collect())], bound);
        order.aside.iter().map(|aside| aside.3).collect::<Vec<_>>()
    };
    assert_eq!(late(&[10, 10, 9], 0), [2], "ties are never late");
    assert_eq!(late(&[10, 5, 4, 5], 5), [2]);
    assert_eq!(late(&[i64::MIN, i64::MIN], 0), [0; 0], "there is no time below the first");
    assert_eq!(late(&[i64::MAX, i64::MIN, 0], i64::MAX), [1]);
}

fn expected_and_merged(inputs: &[Input], bound: i64) -> Order {
    let order = merged(inputs, bound, 3, &[(0, 1)]);
    assert_eq!(order, expected(inputs, bound, &[]));
    order
}

#[test]
fn a_silent_partition_holds_the_others_until_it_ends() {
    let mut ingest = ingest(&[0, 0], 0, usize::MAX);
    let mut order = Order::default();
    let decoded = decode(&[Some(1), None, Some(2), Some(1)], 0, 0, 0);
    ingest.push(0, decoded).unwrap();
    drain(&mut ingest, 10, &mut order);
    assert_eq!((order.taken.len(), order.aside.len(), ingest.wants()), (0, 0, Some(1)));
    ingest.end(1);
    drain(&mut ingest, 10, &mut order);
    assert_eq!((order.taken.len(), order.aside.len()), (1, 2), "up to its own watermark");
    ingest.end(0);
    drain(&mut ingest, 10, &mut order);
    assert_eq!((order.taken.len(), order.aside.len(), ingest.wants()), (2, 2, None));
}

#[test]
fn too_many_waiting_events_are_refused() {
    let mut ingest = ingest(&[0], 1_000, 5);
    let push = |ingest: &mut Ingest, times: std::ops::Range<i64>| {
        let decoded = decode(&times.map(Some).collect::<Vec<_>>(), 0, 0, 0);
        let result = ingest.push(0, decoded);
        drain(ingest, 10, &mut Order::default());
        result
    };
    assert_eq!(push(&mut ingest, 0..5), Ok(()));
    assert_eq!(push(&mut ingest, 5..6), Ok(()));
    assert_eq!(push(&mut ingest, 6..7), Err(BufferFull { limit: 5 }));
    let mut ingest = self::ingest(&[0], 3, 5);
    for from in 0..100 {
        assert_eq!(push(&mut ingest, from * 10..from * 10 + 10), Ok(()), "what has left does not count");
    }
}

/// Long stretches out of order are sorted by another way than short ones, which depends on how far times lie apart.
#[test]
fn long_stretches_out_of_order_leave_in_order_too() {
    for apart in [3, 200, 60_000, 5_000_000, 1 << 40] {
        let mut random = 1_u64;
        let times = (0..4_000_i64).map(|i| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Some(i * (apart / 1_000) + (random >> 33) as i64 % apart)
        });
        let times: Vec<Line> = times.collect();
        let inputs = [(0, times.clone()), (1, times[..3_000].to_vec())];
        for bound in [apart / 2, 2 * apart] {
            let order = merged(&inputs, bound, 700, &[(0, 1_000), (1, 300), (0, 500)]);
            assert_eq!(order, expected(&inputs, bound, &[]), "apart: {apart}, bound: {bound}");
        }
    }
}

/// A stretch out of order after each stretch in order, all waiting: the number of runs must not grow with them.
#[test]
fn much_disorder_stays_affordable() {
    let lines: Vec<Line> = (0..60_000).map(|i| Some(if i % 3 == 2 { i - 2 } else { i })).collect();
    let mut ingest = ingest(&[0], i64::MAX, usize::MAX);
    let mut order = Order::default();
    for (at, stretch) in lines.chunks(2).enumerate() {
        let decoded = decode(stretch, 0, 0, at as u64 * 2);
        ingest.push(0, decoded).unwrap();
        drain(&mut ingest, 10, &mut order);
    }
    ingest.end(0);
    drain(&mut ingest, 4096, &mut order);
    assert_eq!(order, expected(&[(0, lines)], i64::MAX, &[]));
}

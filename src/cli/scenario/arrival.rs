//! A scenario's events as input lines: in the order as written, and in shuffled ones that must give the same matches.
//!
//! What is late depends on the order of arrival, and the order of equal times on their offsets, so a shuffle keeps both:
//! it leaves out late events until the end, where they are late as well, moves the others only as far as the bound
//! allows, and lets events of one time keep their order.

use std::collections::BTreeMap;

use super::file::{Event, Scenario};
use crate::event::{TimeSpan, Timestamp};

/// The order in which a scenario's events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As the file has it.
    Written,
    /// Shuffled within the scenario's own bound.
    WithinBound(u64),
    /// Shuffled at will, with a bound as long as the scenario. Only where nothing is late as written.
    Free(u64),
}

/// What a run reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The partitions, in the order of their streams' names and their numbers: the stream, and its lines.
    pub inputs: Vec<(String, Vec<String>)>,
    /// The bound on disorder.
    pub out_of_orderness: TimeSpan,
}

/// A scenario's events in some order; none where the scenario cannot have that order.
pub fn arrange(scenario: &Scenario, order: Order) -> Option<Arrival> {
    let mut partitions: BTreeMap<(&str, u32), Vec<&Event>> = BTreeMap::new();
    for event in &scenario.events {
        partitions.entry((&event.stream, event.partition)).or_default().push(event);
    }
    let bound = match order {
        Order::Free(_) => length(scenario),
        Order::Written | Order::WithinBound(_) => scenario.out_of_orderness,
    };
    let mut inputs = Vec::with_capacity(partitions.len());
    for (number, ((stream, _), events)) in (0..).zip(partitions) {
        let late = late(&events, scenario.out_of_orderness);
        let events = match order {
            Order::Written => events,
            Order::Free(_) if late.contains(&true) => return None,
            Order::WithinBound(seed) | Order::Free(seed) => {
                let mut random = Random(seed.wrapping_mul(1_000).wrapping_add(number));
                let place = |time: Timestamp, random: &mut Random| match order {
                    Order::Free(_) => random.up_to(i64::MAX),
                    // An event that is at most the bound later than its time finds no event before it that is more than
                    // the bound ahead.
                    _ => time.plus(TimeSpan(random.up_to(bound.0))).0,
                };
                shuffle(&events, &late, place, &mut random)
            }
        };
        inputs.push((stream.to_owned(), events.into_iter().map(|event| event.text.clone()).collect()));
    }
    Some(Arrival { inputs, out_of_orderness: bound })
}

/// From the earliest event to the latest.
fn length(scenario: &Scenario) -> TimeSpan {
    let times = || scenario.events.iter().filter_map(|event| event.time);
    match (times().min(), times().max()) {
        (Some(first), Some(last)) => TimeSpan(last.0.saturating_sub(first.0)),
        _ => TimeSpan(0),
    }
}

/// Which events of a partition are late: at or below its highest time so far, less the bound and 1 ms.
fn late(events: &[&Event], bound: TimeSpan) -> Vec<bool> {
    let mut watermark = Timestamp::MIN;
    let judge = |event: &&Event| {
        let Some(time) = event.time else { return false };
        let late = time <= watermark;
        watermark = watermark.max(time.minus(bound).minus(TimeSpan(1)));
        late
    };
    events.iter().map(judge).collect()
}

/// The events of a partition in another order, by the places that `place` gives those that are not late.
fn shuffle<'a>(
    events: &[&'a Event],
    late: &[bool],
    place: impl Fn(Timestamp, &mut Random) -> i64,
    random: &mut Random,
) -> Vec<&'a Event> {
    let (mut in_time, mut rest): (Vec<&Event>, Vec<&Event>) = (Vec::new(), Vec::new());
    for (event, late) in events.iter().zip(late) {
        if *late || event.time.is_none() { rest.push(event) } else { in_time.push(event) }
    }
    in_time.sort_by_key(|event| event.time);
    let mut places: Vec<(i64, usize)> = Vec::with_capacity(in_time.len());
    for (rank, event) in in_time.iter().enumerate() {
        places.push((place(event.time.unwrap_or(Timestamp::MIN), random), rank));
    }
    places.sort_unstable();
    // Where events of one time have come in another order, they change places among themselves.
    let mut arrival: Vec<usize> = places.into_iter().map(|(_, rank)| rank).collect();
    for same in in_time.chunk_by(|a, b| a.time == b.time) {
        let first = in_time.partition_point(|event| event.time < same[0].time);
        let ranks = first..first + same.len();
        let mut next = ranks.clone();
        for slot in &mut arrival {
            if ranks.contains(slot)
                && let Some(rank) = next.next()
            {
                *slot = rank;
            }
        }
    }
    let mut shuffled: Vec<&Event> = arrival.into_iter().map(|rank| in_time[rank]).collect();
    // Late events come last, and lines without a time anywhere.
    shuffled.extend(rest.iter().filter(|event| event.time.is_some()));
    for line in rest.iter().filter(|event| event.time.is_none()) {
        shuffled.insert(random.up_to(shuffled.len() as i64) as usize, line);
    }
    shuffled
}

/// SplitMix64: small, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `max`; 0 where `max` is negative.
    fn up_to(&mut self, max: i64) -> i64 {
        let count = u64::try_from(max).unwrap_or(0).saturating_add(1);
        ((u128::from(self.next()) * u128::from(count)) >> 64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::scenario::file::parse;

    fn scenario(bound: &str, events: &str) -> Scenario {
        let text =
            format!("[[scenario]]\nname = \"s\"\nout_of_orderness = \"{bound}\"\nevents = [{events}]\n");
        parse(&text, std::path::Path::new("s.scenario.toml")).unwrap().remove(0)
    }

    fn times(arrival: &Arrival) -> Vec<Vec<i64>> {
        let time = |line: &String| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            event["ts"].as_i64().unwrap_or(-1)
        };
        arrival.inputs.iter().map(|(_, lines)| lines.iter().map(time).collect()).collect()
    }

    #[test]
    fn a_shuffle_within_the_bound_keeps_what_is_late_and_the_order_of_equal_times() {
        let events = r#"{t="0s",n=0},{t="3s",n=1},{t="3s",n=2},{t="1s",n=3},{t="20s",n=4},{t="14s",n=5},{t="15s",n=6},{line="x"}"#;
        let scenario = scenario("5s", events);
        let written = arrange(&scenario, Order::Written).unwrap();
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let arrival = arrange(&scenario, Order::WithinBound(seed)).unwrap();
            let lines = &arrival.inputs[0].1;
            let mut sorted = (lines.clone(), written.inputs[0].1.clone());
            sorted.0.sort();
            sorted.1.sort();
            assert_eq!(sorted.0, sorted.1, "a shuffle loses and adds nothing");
            let (mut max, mut late, mut at_three) = (0, Vec::new(), Vec::new());
            for line in lines.iter().filter(|line| line.as_str() != "x") {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                let time = event["ts"].as_i64().unwrap() - scenario.start.0;
                if time < max - 5_000 {
                    late.push(event["n"].as_i64().unwrap());
                }
                if time == 3_000 {
                    at_three.push(event["n"].as_i64().unwrap());
                }
                max = max.max(time);
            }
            assert_eq!(late, [5], "seed {seed}");
            assert_eq!(at_three, [1, 2], "seed {seed}");
            orders.insert(times(&arrival));
        }
        assert!(orders.len() > 5, "only {} orders", orders.len());
        assert_eq!(
            arrange(&scenario, Order::Free(1)),
            None,
            "with a longer bound the late event would be in time"
        );
    }

    #[test]
    fn a_free_shuffle_has_a_bound_that_covers_all() {
        let scenario = scenario("0ms", r#"{t="0s"},{t="1m"},{t="2m"},{t="1h", partition=1}"#);
        let orders: std::collections::BTreeSet<_> =
            (0..100).filter_map(|seed| arrange(&scenario, Order::Free(seed))).map(|a| times(&a)).collect();
        assert_eq!(orders.len(), 6, "all orders of three events");
        assert_eq!(arrange(&scenario, Order::Free(1)).unwrap().out_of_orderness, TimeSpan(3_600_000));
    }
}

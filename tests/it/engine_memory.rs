//! What the engine holds: partial matches, and the events they need. When all windows have closed that is nothing,
//! whatever the pattern, and in between no more than what is still waited for.

use sequor::pattern::plan::Skip;

use crate::generate::Case;
use crate::stepwise::Run;

#[test]
fn nothing_is_held_when_all_windows_have_closed() {
    // By skip strategy: cases in all, and with a match.
    let mut seen = [[0; 2]; 5];
    for seed in 0..4_000 {
        let (case, _) = Case::new(seed);
        let compiled = case.compile().unwrap();
        if compiled.plans.iter().any(|plan| plan.within.is_none()) {
            continue;
        }
        let skip = match compiled.plans[0].skip {
            Skip::NoSkip => 0,
            Skip::ToNext => 1,
            Skip::PastLast => 2,
            Skip::ToFirst(_) => 3,
            Skip::ToLast(_) => 4,
        };
        let mut run = Run::of_case(&case);
        run.all_lines(&case);
        assert_eq!(run.engine.held(), (0, 0, 0), "seed {seed}\n{}", case.text());
        seen[skip][0] += 1;
        seen[skip][1] += usize::from(run.found.count > 0);
    }
    assert!(seen.iter().flatten().all(|&count| count >= 50), "hardly any of some kind: {seen:?}");
}

#[test]
fn nothing_is_held_of_many_keys_that_came_and_went() {
    const KEYS: usize = 200_000;
    let text = "pattern p key by k match a: a followed by b+: b not followed by c: c within 9ms after match skip past last emit timeouts
        pattern q key by k match a: a followed by b: b where v > a.v within 5ms between events";
    let mut run = Run::of(text);
    let mut most = 0;
    for key in 0..KEYS {
        let mut lines = Vec::new();
        for (after, kind) in ["a", "b"].iter().enumerate().take(1 + key % 2) {
            let line =
                format!("{{\"type\":\"{kind}\",\"ts\":{},\"k\":\"key {key}\",\"v\":{after}}}\n", key + after);
            lines.extend(line.into_bytes());
        }
        run.lines(0, lines);
        most = most.max(run.engine.held().0);
    }
    assert!((10..40).contains(&most), "a key is held as long as it waits: {most}");
    run.end();
    assert_eq!(run.engine.held(), (0, 0, 0));
    // A lone `a` times out; with a `b` there are the match of `q`, the absence of `c`, and a loop that times out.
    assert_eq!(run.found.count, KEYS / 2 + 3 * (KEYS / 2));
}

/// When most of the kept texts are gone, the others are moved together; they say the same afterwards.
#[test]
fn what_stays_of_many_events_is_found_where_it_was_moved() {
    const KEYS: usize = 6_000;
    let mut run = Run::of("pattern p key by k match a: a followed by b: b select a.note as note");
    let line = |kind: &str, time: usize, key: usize| {
        let filler = "x".repeat(400 + key % 7);
        format!(
            "{{\"type\":\"{kind}\",\"ts\":{time},\"note\":\"n\\u00e9{key}\",\"k\":{key},\"filler\":\"{filler}\"}}"
        )
    };
    let mut feed = |kind: &str, from: usize, keys: &mut dyn Iterator<Item = usize>| {
        let lines: Vec<String> = keys.map(|key| line(kind, from + key, key) + "\n").collect();
        run.lines(0, lines.concat().into_bytes());
    };
    feed("a", 0, &mut (0..KEYS));
    // One in fifty stays; what comes then finds the rest gone.
    feed("b", 10_000, &mut (0..KEYS).filter(|key| key % 50 != 0));
    feed("a", 20_000, &mut (KEYS..KEYS + 2_000));
    feed("b", 30_000, &mut (0..KEYS).filter(|key| key % 50 == 0));
    run.end();
    assert_eq!(run.found.count, KEYS);
    let found = String::from_utf8(run.found.json).unwrap();
    for (found, key) in found.lines().rev().zip((0..KEYS).rev().filter(|key| key % 50 == 0)) {
        let events = format!("{{\"a\":[{}],\"b\":[{}]}}", line("a", key, key), line("b", 30_000 + key, key));
        assert!(found.contains(&events) && found.contains(&format!("{{\"note\":\"né{key}\"}}")), "{found}");
    }
}

#[test]
fn without_a_window_only_what_still_waits_is_held() {
    let mut run = Run::of("pattern p key by k match a: a next b: b");
    for key in 0..1_000 {
        let time = key * 10;
        let line = |kind, at| format!("{{\"type\":\"{kind}\",\"ts\":{at},\"k\":{key}}}\n");
        // An even key matches; an odd one is ended by an event that is no `b`.
        let second = if key % 2 == 0 { "b" } else { "x" };
        run.lines(0, [line("a", time), line(second, time + 1)].concat().into_bytes());
    }
    run.lines(0, b"{\"type\":\"a\",\"ts\":100000,\"k\":-1}\n".to_vec());
    run.end();
    assert_eq!(run.found.count, 500);
    assert_eq!(run.engine.held(), (1, 1, 1), "the last `a` waits for ever");
}

#[test]
fn a_path_that_several_positions_account_for_is_held_once() {
    // Each path is some of the events up to now, one right after the other; where the group's first iteration ended is
    // no difference. The paths do not share steps: each began with an event of its own.
    let mut run = Run::of("pattern p key by k match (a+: a consecutive){2} consecutive next z: z within 1h");
    for events in 1..=20 {
        run.lines(0, format!("{{\"type\":\"a\",\"ts\":{},\"k\":1}}\n", events * 10_000).into_bytes());
        // The last one waits for its watermark.
        let taken = events - 1;
        assert_eq!(run.engine.held(), (taken.min(1), taken * (taken + 1) / 2, taken));
    }
}

/// The table of states forgets those that no partial match is in when it has grown large; nothing of it shows.
#[test]
fn more_states_than_a_table_keeps_find_the_same_matches() {
    const STAGES: usize = 17;
    const KEYS: usize = 4_000;
    const TAKEN: usize = 8;
    let stages: String =
        (0..STAGES).map(|stage| format!(" followed by b{stage}?: b where v == {stage}")).collect();
    let text = format!("pattern p key by k match a: a{stages} followed by z: z within 1h");
    // Each key has some stages' events in an order of its own, so its partial matches wait for subsets of its own.
    let orders: Vec<Vec<usize>> = (0..KEYS)
        .map(|key| {
            let mut left: Vec<usize> = (0..STAGES).collect();
            let mut choice = (key as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut pick = || {
                choice =
                    choice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                left.remove((choice >> 33) as usize % left.len())
            };
            (0..TAKEN).map(|_| pick()).collect()
        })
        .collect();
    let mut run = Run::of(&text);
    for round in 0..TAKEN + 2 {
        let line = |(key, order): (usize, &Vec<usize>)| {
            let (kind, value) = match round {
                0 => ("a", 0),
                round if round > TAKEN => ("z", 0),
                round => ("b", order[round - 1]),
            };
            format!("{{\"type\":\"{kind}\",\"ts\":{round},\"k\":{key},\"v\":{value}}}\n")
        };
        run.lines(0, orders.iter().enumerate().map(line).collect::<String>().into_bytes());
    }
    run.end();
    // A match takes `a`, any of the others that come in the order of the stages, and `z`.
    let rising = |order: &Vec<usize>| {
        let mut ending_at: Vec<usize> = Vec::new();
        for (at, stage) in order.iter().enumerate() {
            ending_at.push(1 + (0..at).filter(|&b| order[b] < *stage).map(|b| ending_at[b]).sum::<usize>());
        }
        1 + ending_at.iter().sum::<usize>()
    };
    assert_eq!(run.found.count, orders.iter().map(rising).sum::<usize>());
    assert_eq!(run.engine.held(), (0, 0, 0));
}

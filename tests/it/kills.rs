//! `kill -9` at random moments, one time in five in the middle of a recovery, while events come and patterns change, with
//! no more kept of the logs than a start needs: what the file sinks hold is what the naive matcher finds, byte for byte.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use sequor::journal::Tail;
use sequor::pattern::{Limits, compile};
use serde_json::Value as Json;

use crate::generate::Random;
use crate::naive;
use crate::serving::Service;

const CONFIG: &str = r#"
[data]
checkpoint_interval = "100ms"
segment_size = "4KiB"
retain_bytes = 0
retain_time = "0s"
[[streams]]
name = "events"
out_of_orderness = "200ms"
idle_timeout = "1d"
silence = "hold"
[[sinks]]
name = "matches"
type = "file"
path = "matches.jsonl"
[[sinks]]
name = "late"
type = "file"
what = "late"
path = "late.jsonl"
[[sinks]]
name = "dead"
type = "file"
what = "dead_letters"
path = "dead.jsonl"
"#;

/// What patterns wait for; in the place of `{x}` comes what else has to hold of an event of `x`.
const STAGES: [&str; 6] = [
    "a: a where true{a} followed by b: b where n > a.n{b}",
    "a: a where true{a} next b: b where true{b}",
    "a{1,3}: a where true{a} followed by b: c where true{b}",
    "a: a where true{a} not followed by x: c followed by b: b where true{b}",
    "a: a where true{a} not followed by b: b",
    "a: a where true{a} followed by b: b | c where true{b}",
];

/// A pattern that is put once, and perhaps removed once.
struct Pattern {
    name: String,
    stages: &'static str,
    rest: String,
}

impl Pattern {
    fn new(number: usize, random: &mut Random) -> Pattern {
        let key = random.pick(&["key by k", "key by k", ""]);
        let within = random.pick(&["300ms", "1s", "4s"]);
        let skip = random.pick(&["", "", "after match skip past last"]);
        Pattern {
            name: format!("p{number:03}"),
            stages: STAGES[random.below(STAGES.len() as u64) as usize],
            rest: format!("within {within} {skip} select a.n as x|{key}"),
        }
    }

    /// Its text, of which each event has to have a time from `from` on and below `to`.
    fn text(&self, from: Option<i64>, to: Option<i64>) -> String {
        let mut stages = self.stages.to_owned();
        for stage in ["a", "b"] {
            let mut more = String::new();
            from.iter().for_each(|from| _ = write!(more, " and ts >= {from}"));
            to.iter().for_each(|to| _ = write!(more, " and ts < {to}"));
            stages = stages.replace(&format!("{{{stage}}}"), &more);
        }
        let (rest, key) = self.rest.split_once('|').unwrap();
        format!("pattern {} {key} match {stages} {rest}\n", self.name)
    }
}

fn line(random: &mut Random, clock: i64) -> String {
    if random.chance(2) {
        return "no event".to_owned();
    }
    let jitter = match random.below(20) {
        0 => -random.between(0, 3_000),
        1..5 => -random.between(0, 200),
        _ => 0,
    };
    let (kind, key, number) = (random.pick(&["a", "a", "b", "b", "c"]), random.below(20), random.below(10));
    format!("{{\"type\":\"{kind}\",\"ts\":{},\"k\":{key},\"n\":{number}}}", clock + jitter)
}

/// A service that is killed now and then.
struct Victim {
    service: Service,
    random: Random,
    kills: u64,
    in_recovery: u64,
}

impl Victim {
    /// Sends until it is answered, and kills meanwhile if that is wanted.
    fn send(
        &mut self,
        is_killed: bool,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let killer = is_killed.then(|| {
            let (pid, wait) = (self.service.pid().to_string(), self.random.below(12));
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(wait));
                assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
            })
        });
        let answer = self.service.try_send(method, path, headers, body);
        if let Some(killer) = killer {
            killer.join().unwrap();
            self.kills += 1;
            self.service.kill();
            while self.random.chance(20) {
                self.service.launch();
                thread::sleep(Duration::from_millis(self.random.below(40)));
                self.service.kill();
                (self.kills, self.in_recovery) = (self.kills + 1, self.in_recovery + 1);
            }
            self.service.restart();
        }
        match answer {
            Some(answer) if answer.status < 500 => (answer.status, answer.body),
            _ => self.send(false, method, path, headers, body),
        }
    }
}

/// From when to when each pattern was there, as the control log says.
fn lives(control: &str, name: &str) -> (Option<i64>, Option<i64>) {
    let (mut from, mut to) = (None, None);
    for entry in control.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()) {
        for change in
            entry["changes"].as_array().into_iter().flatten().filter(|change| change["name"] == name)
        {
            let at = if change["change"] == "put" { &mut from } else { &mut to };
            *at = entry["effective_from"].as_i64();
        }
    }
    (from, to)
}

#[test]
fn what_is_killed_again_and_again_sends_what_the_naive_matcher_finds() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (kills, seed) = (number("SEQUOR_KILLS", 40), number("SEQUOR_SEED", 1));
    let service = Service::start(CONFIG);
    let mut victim = Victim { service, random: Random::new(seed), kills: 0, in_recovery: 0 };
    let (mut clock, mut lines, mut patterns) = (1_000_000, Vec::new(), Vec::<Pattern>::new());
    let mut there: Vec<usize> = Vec::new();
    for step in 0_u64.. {
        if victim.kills >= kills {
            break;
        }
        let is_killed = victim.random.chance(8);
        match victim.random.below(10) {
            0 if patterns.len() < 40 => {
                let pattern = Pattern::new(patterns.len(), &mut victim.random);
                let path = format!("/v1/patterns/{}", pattern.name);
                let headers = [("content-type", "text/plain"), ("if-none-match", "*")];
                let (status, body) =
                    victim.send(is_killed, "PUT", &path, &headers, &pattern.text(None, None));
                // After a kill, what was not answered may have been done.
                assert!(matches!(status, 201 | 412), "{status}: {body}");
                there.push(patterns.len());
                patterns.push(pattern);
            }
            1 if there.len() > 3 => {
                let name = &patterns[there.remove(victim.random.below(there.len() as u64) as usize)].name;
                let path = format!("/v1/patterns/{name}?state=drop");
                let (status, body) = victim.send(is_killed, "DELETE", &path, &[("if-match", "*")], "");
                assert!(matches!(status, 200 | 404), "{status}: {body}");
            }
            _ => {
                let batch: Vec<String> = (0..victim.random.between(1, 60))
                    .map(|_| {
                        clock += victim.random.between(0, 20);
                        line(&mut victim.random, clock)
                    })
                    .collect();
                let key = step.to_string();
                let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key.as_str())];
                let path = "/v1/streams/events/events";
                let (status, body) = victim.send(is_killed, "POST", path, &headers, &batch.join("\n"));
                assert_eq!(status, 200, "{body}");
                lines.extend(batch.into_iter().map(String::into_bytes));
            }
        }
    }
    let Victim { mut service, kills, in_recovery, .. } = victim;
    service.post("/v1/streams/events/watermark", "{\"time\":9000000000000}").ok();
    let control = service.get("/v1/control-log").ok().body;
    assert_eq!(service.stop(), 0, "{}", service.log());

    let alive: Vec<_> = patterns.iter().map(|pattern| lives(&control, &pattern.name)).collect();
    let text: String =
        patterns.iter().zip(&alive).map(|(pattern, (from, to))| pattern.text(*from, *to)).collect();
    let settings = naive::Settings { out_of_orderness_ms: 200, ..naive::Settings::default() };
    let count = lines.len();
    let input = naive::Input { stream: "events".to_owned(), lines };
    let expected = naive::run(&[compile(&text, &Limits::default()).file], &[input], &settings).unwrap();
    let expected_text = |bytes| String::from_utf8(bytes).unwrap();
    // What is dropped with its pattern comes to nothing afterwards.
    let is_there = |line: &&str| {
        let found: Json = serde_json::from_str(line).unwrap();
        let place = patterns.iter().position(|pattern| found["pattern"] == pattern.name).unwrap();
        alive[place].1.is_none_or(|to| found["end"].as_i64().unwrap() < to)
    };
    let matches = expected_text(expected.matches);
    let matches: String = matches.lines().filter(is_there).fold(String::new(), |all, line| all + line + "\n");
    let pairs = [
        ("matches.jsonl", matches),
        ("late.jsonl", expected_text(expected.late)),
        ("dead.jsonl", expected_text(expected.dead)),
    ];
    for (file, expected) in pairs {
        let sent = fs::read_to_string(service.dir.join(file)).unwrap();
        let place = sent.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count();
        assert!(
            sent == expected && !sent.is_empty(),
            "seed {seed}, {file}, line {place} of {} and {}:\n sent  {:?}\n found {:?}\n{control}\n{text}",
            sent.lines().count(),
            expected.lines().count(),
            sent.lines().nth(place),
            expected.lines().nth(place),
        );
        println!("{file}: {} lines", sent.lines().count());
    }
    let log = Tail::open(&service.data().join("streams/events")).unwrap();
    println!(
        "{kills} kills, {in_recovery} of them during recovery; {count} lines came, kept from {}",
        log.first()
    );
    assert!(
        log.first() > count as u64 / 4,
        "too much of the log is kept: starts may have read it from its beginning"
    );
}

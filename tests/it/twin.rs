//! A service and the replay of its logs: random scenarios with the real binary, in which streams fall silent and speak
//! again, patterns come and go, settings change, and the service is stopped and killed; what its journals hold is what the
//! replay of its exports gives, byte for byte.

#![expect(clippy::disallowed_methods, reason = "no output depends on how long a test waits")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sequor::journal::Tail;
use sequor::pattern::{Limits, compile};

use crate::generate::Random;
use crate::naive;
use crate::serving::{PATIENCE, Service, sequor};

/// How long the random rounds may go on where their number is not given.
const ROUNDS_TIME: Duration = Duration::from_secs(40);

const STREAMS: [&str; 4] = ["alpha", "beta", "events", "zeta"];
const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// Budgets, and values that are reached now and then.
const LIMITS: [(&str, i64); 6] = [
    ("max_partial_matches_per_key", 12),
    ("max_retained_events_per_key", 12),
    ("max_retained_bytes_per_key", 900),
    ("max_partial_matches", 30),
    ("max_retained_bytes", 2000),
    ("max_matches_per_event", 4),
];

/// What came out: matches, late events, dead letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) matches: String,
    late: String,
    dead: String,
}

impl Out {
    /// What the journals of a data directory hold.
    pub(crate) fn sent(data: &Path) -> Out {
        let mut out = Out::default();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        for record in Tail::open(&data.join("matches")).unwrap().reader(0).unwrap() {
            out.matches += &text(record.unwrap().body);
        }
        for record in Tail::open(&data.join("rejected")).unwrap().reader(0).unwrap() {
            let record = record.unwrap();
            let is_late = text(record.meta).contains("\"late\"");
            let lines = if is_late { &mut out.late } else { &mut out.dead };
            *lines += &text(record.body);
        }
        out
    }

    /// What a replay of the files `control.jsonl` and `events.jsonl` gives.
    #[track_caller]
    pub(crate) fn replayed(dir: &Path, threads: &str, batch: &str) -> Out {
        let output = sequor(dir)
            .args(["replay", "-q", "--control-log", "control.jsonl", "--input", "events.jsonl"])
            .args(["-o", "matches.out", "--late", "late.out", "--dead-letter", "dead.out"])
            .args(["--threads", threads, "--batch-size", batch])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name| fs::read_to_string(dir.join(name)).unwrap();
        Out { matches: read("matches.out"), late: read("late.out"), dead: read("dead.out") }
    }

    /// Where it is not the beginning of another.
    pub(crate) fn beyond(&self, all: &Out) -> Option<String> {
        let pairs = [
            ("matches", &self.matches, &all.matches),
            ("late", &self.late, &all.late),
            ("dead letters", &self.dead, &all.dead),
        ];
        pairs.into_iter().find_map(|(what, these, all)| {
            let place = these.lines().zip(all.lines()).take_while(|(a, b)| a == b).count();
            let is_all = all.starts_with(these);
            (!is_all).then(|| {
                format!(
                    "{what}, line {place} of {} and {}:\n sent     {:?}\n replayed {:?}",
                    all.lines().count(),
                    these.lines().count(),
                    all.lines().nth(place),
                    these.lines().nth(place),
                )
            })
        })
    }
}

#[track_caller]
fn export(dir: &Path, what: &str, file: &str) {
    let output = sequor(dir).args(["export", what, "--data", "data", "--output", file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
pub(crate) fn export_both(dir: &Path) {
    export(dir, "control-log", "control.jsonl");
    export(dir, "events", "events.jsonl");
}

fn config(random: &mut Random, streams: &[&str], by_clock: bool) -> String {
    let mut text = format!(
        "[engine]\nthreads = {}\nbatch_size = {}\n[data]\nsegment_size = \"4KiB\"\ncheckpoint_interval = \"{}\"\n",
        random.between(1, 3),
        random.pick(&[1, 3, 64, 4096]),
        random.pick(&["100ms", "100ms", "300ms", "10s"]),
    );
    if random.chance(50) {
        let _ = writeln!(text, "state_memory = \"{}KiB\"", random.pick(&[1, 1, 4, 20]));
    }
    if random.chance(60) {
        let _ = writeln!(text, "[limits]\npolicy = \"{}\"", random.pick(&["suspend", "drop_oldest"]));
        for (name, most) in LIMITS {
            if random.chance(25) {
                let _ = writeln!(text, "{name} = {}", random.between(1, most));
            }
        }
    }
    for name in streams {
        let bound = random.pick(&["0ms", "20ms", "200ms", "3s"]);
        let idle = *random.pick(&["1ms", "30ms", "120ms", if by_clock { "60ms" } else { "10m" }]);
        let silence = match by_clock {
            true => random.pick(&["flush", "hold", "clock", "clock"]),
            false => random.pick(&["flush", "hold"]),
        };
        let _ = write!(
            text,
            "[[streams]]\nname = \"{name}\"\nout_of_orderness = \"{bound}\"\nidle_timeout = \"{idle}\"\nsilence = \"{silence}\"\n"
        );
        if random.chance(20) {
            text += "max_time_jump = \"5s\"\n";
        }
        if random.chance(20) {
            text += "late = \"drop\"\n";
        }
        if random.chance(10) {
            text += "time_field = \"at\"\n";
        }
        if random.chance(40) {
            let (window, most) =
                (random.pick(&["20ms", "300ms", "2s", "1h"]), random.pick(&[1, 9, 1_000_000]));
            let _ = writeln!(text, "duplicates = {{ id = \"i\", window = \"{window}\", max_ids = {most} }}");
        }
    }
    text
}

fn pattern(random: &mut Random, name: &str) -> String {
    let select = random.pick(&["a.n as x", "b.n as y, a.n as x", "a.n as x, count(a) as c"]);
    let from = random.pick(&["", "", "", "from alpha", "from `events`, zeta"]);
    let stages = random.pick(&[
        "a: a followed by b: b where n > a.n",
        "a: a next b: b",
        "a: a followed by b: b | c",
        "a{1,3}: a followed by b: c",
        "a: a not followed by x: c followed by b: b",
        "a: a not followed by b: b",
        "a: a followed by any b: b",
    ]);
    let within = random.pick(&["300ms", "1s", "4s"]);
    let emit = random.pick(&["", "", "emit timeouts"]);
    let key = random.pick(&["key by k", "key by k", "key by k", ""]);
    let skip = random.pick(&["", "", "after match skip past last"]);
    let text = |select: &str| {
        format!("pattern {name} {from} {key} match {stages} within {within} {skip} {emit} select {select}")
    };
    // Not all that is selected is there in all of them.
    match compile(&text(select), &Limits::default()).diagnostics.has_errors() {
        false => text(select),
        true => text("a.n as x"),
    }
}

fn line(random: &mut Random, clock: i64) -> String {
    if random.chance(4) {
        return (*random.pick(&["no event", "[1]", "{\"type\":\"a\"}", "{\"ts\":\"soon\"}"])).to_owned();
    }
    let jitter = match random.below(20) {
        0 => -random.between(0, 6_000),
        1..5 => -random.between(0, 300),
        _ => random.between(0, 40),
    };
    let (kind, key, number) = (random.pick(&["a", "a", "b", "b", "c"]), random.below(3), random.below(10));
    let (ts, id) = (clock + jitter, random.below(300));
    format!("{{\"type\":\"{kind}\",\"ts\":{ts},\"at\":{},\"k\":{key},\"n\":{number},\"i\":{id}}}", ts + 7)
}

/// A scenario, as far as it has gone.
struct Round {
    random: Random,
    service: Service,
    streams: Vec<&'static str>,
    clock: i64,
    /// Whether events are of today, so that time can go on by the clock.
    by_clock: bool,
    done: BTreeMap<&'static str, u32>,
}

impl Round {
    fn new(seed: u64) -> Round {
        let mut random = Random::new(seed);
        let streams = some_streams(&mut random);
        let by_clock = random.chance(40);
        let service = Service::start(&config(&mut random, &streams, by_clock));
        Round { random, service, streams, clock: 1_000_000, by_clock, done: BTreeMap::new() }
    }

    fn step(&mut self) {
        let what = *self.random.weighted(&[
            (40, "events"),
            (10, "pattern"),
            (4, "remove"),
            (6, "heartbeat"),
            (8, "silence"),
            (3, "kill"),
            (1, "stop"),
            (1, "settings"),
            (2, "export"),
        ]);
        let random = &mut self.random;
        let took_place = match what {
            "events" => {
                let stream = *random.pick(&self.streams);
                let pace = if self.by_clock { 3 } else { 30 };
                if self.by_clock {
                    self.clock = wall_clock();
                }
                let mut lines = String::new();
                for _ in 0..random.between(1, 30) {
                    self.clock += random.between(0, pace);
                    lines += &line(random, self.clock);
                    lines.push('\n');
                }
                self.service.post(&format!("/v1/streams/{stream}/events"), lines).status == 200
            }
            "pattern" => self.pattern(),
            "remove" => self.remove(),
            "heartbeat" => {
                let (stream, time) = (*random.pick(&self.streams), self.clock + random.between(-500, 300));
                let body = format!("{{\"time\":{time}}}");
                self.service.post(&format!("/v1/streams/{stream}/watermark"), body).status == 200
            }
            "silence" => {
                let most = if self.by_clock { 400 } else { 120 };
                thread::sleep(Duration::from_millis(random.below(most)));
                true
            }
            "stop" => {
                assert_eq!(self.service.stop(), 0, "{}", self.service.log());
                self.service.restart();
                true
            }
            "settings" => {
                let is_killed = random.chance(50);
                match is_killed {
                    true => self.service.kill(),
                    false => assert_eq!(self.service.stop(), 0, "{}", self.service.log()),
                }
                self.streams = some_streams(&mut self.random);
                self.service.configure(&config(&mut self.random, &self.streams, self.by_clock));
                self.service.restart();
                true
            }
            "kill" => {
                self.kill();
                true
            }
            _ => {
                self.export();
                true
            }
        };
        *self.done.entry(what).or_default() += u32::from(took_place);
    }

    /// A new pattern, or another version of one, or another form of it.
    fn pattern(&mut self) -> bool {
        let random = &mut self.random;
        let name = *random.pick(&NAMES);
        let text = pattern(random, name);
        let mut path = format!("/v1/patterns/{name}?");
        if random.chance(50) {
            let _ = write!(path, "effective_from={}&", self.clock + random.between(-1000, 1500));
        }
        let known = self.service.get(&format!("/v1/patterns/{name}"));
        if known.status != 200 {
            return self.service.send("PUT", &path, &[("content-type", "text/plain")], text).status == 201;
        }
        let tag = known.header("etag");
        if random.chance(25) {
            let is_suspended = known.json()["state"] == "suspended";
            let body = match random.below(if is_suspended { 2 } else { 4 }) {
                0..2 => format!("{{\"paused\":{}}}", !is_suspended && random.chance(60)),
                2 => {
                    let (name, most) = *random.pick(&LIMITS);
                    let value = random.between(1, most).to_string();
                    let value = if random.chance(30) { "null" } else { &value };
                    let policy = random.pick(&["null", "\"suspend\"", "\"drop_oldest\""]);
                    format!("{{\"limits\":{{\"{name}\":{value},\"policy\":{policy}}}}}")
                }
                _ => format!(
                    "{{\"suppress\":{}}}",
                    random.pick(&["null", "\"20ms\"", "\"300ms\"", "\"2s\"", "\"1h\""])
                ),
            };
            let headers = [("content-type", "application/merge-patch+json"), ("if-match", tag)];
            return self.service.send("PATCH", &path, &headers, body).status == 200;
        }
        // What is carried over has to be the same but for what is selected.
        let state = *random.pick(&["drain", "drop", "carry"]);
        let text = match (state, known.json()["source"].as_str().unwrap().rsplit_once("select")) {
            ("carry", Some((rest, _))) => format!("{rest}select a.n + {} as x", random.below(9)),
            _ => text,
        };
        let headers = [("content-type", "text/plain"), ("if-match", tag)];
        self.service.send("PUT", &format!("{path}state={state}"), &headers, text).status == 200
    }

    fn remove(&mut self) -> bool {
        let name = *self.random.pick(&NAMES);
        let known = self.service.get(&format!("/v1/patterns/{name}"));
        let state = self.random.pick(&["drain", "drop"]);
        let path = format!("/v1/patterns/{name}?state={state}");
        known.status == 200
            && self.service.send("DELETE", &path, &[("if-match", known.header("etag"))], "").status == 200
    }

    /// Kills it, one time in five while it recovers.
    fn kill(&mut self) {
        self.service.kill();
        while self.random.chance(20) {
            self.service.launch();
            thread::sleep(Duration::from_millis(self.random.below(40)));
            self.service.kill();
        }
        self.service.restart();
    }

    /// What a running service has exported is replayed to what it has sent so far, and no further than it will.
    fn export(&mut self) {
        export_both(&self.service.dir);
        if self.random.chance(50) {
            let log = self.service.get("/v1/control-log").ok().body;
            fs::write(self.service.dir.join("control.jsonl"), log).unwrap();
            export(&self.service.dir, "events", "events.jsonl");
        }
        let replayed = Out::replayed(&self.service.dir, "2", "100");
        let begun = Instant::now();
        while let Some(difference) = replayed.beyond(&Out::sent(&self.service.data())) {
            let control = || fs::read_to_string(self.service.dir.join("control.jsonl")).unwrap();
            assert!(begun.elapsed() < PATIENCE, "not sent: {difference}\n{}", control());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn wall_clock() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn some_streams(random: &mut Random) -> Vec<&'static str> {
    let mut streams: Vec<_> = STREAMS.into_iter().filter(|_| random.chance(50)).collect();
    if streams.is_empty() {
        streams.push("events");
    }
    streams
}

#[test]
fn a_replay_of_the_logs_gives_what_the_service_gave() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (rounds, first) = (number("SEQUOR_ROUNDS"), number("SEQUOR_SEED").unwrap_or(1));
    let begun = Instant::now();
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    let mut lines = [0; 3];
    for seed in first.. {
        if rounds.map_or(begun.elapsed() > ROUNDS_TIME, |rounds| seed - first >= rounds) {
            break;
        }
        let mut round = Round::new(seed);
        let guard = Named(seed);
        for _ in 0..round.random.between(10, 90) {
            round.step();
        }
        assert_eq!(round.service.stop(), 0, "{}", round.service.log());
        export_both(&round.service.dir);
        let sent = Out::sent(&round.service.data());
        let control = fs::read_to_string(round.service.dir.join("control.jsonl")).unwrap();
        let suspensions = control.matches("\"change\":\"suspend\"").count() as u32;
        *round.done.entry("suspension").or_default() += suspensions;
        for (threads, batch) in [("1", "4096"), ("3", "7")] {
            let replayed = Out::replayed(&round.service.dir, threads, batch);
            if let Some(difference) = replayed.beyond(&sent).or_else(|| sent.beyond(&replayed)) {
                panic!("seed {seed}, {threads} threads, {difference}\n{control}");
            }
        }
        let control = fs::read_to_string(round.service.dir.join("control.jsonl")).unwrap();
        let of_clock = |entry: &&str| entry.contains("\"sequor\",\"op\":\"heartbeat\"");
        *done.entry("clock").or_default() += control.lines().filter(of_clock).count() as u32;
        round.done.into_iter().for_each(|(what, count)| *done.entry(what).or_default() += count);
        for (sum, text) in lines.iter_mut().zip([&sent.matches, &sent.late, &sent.dead]) {
            *sum += text.lines().count();
        }
        std::mem::forget(guard);
    }
    println!("done: {done:?}; matches, late, dead letters: {lines:?}");
    assert!(lines.iter().all(|count| *count > 0), "scenarios in which nothing comes out show nothing");
}

/// Says which seed it was, where a round fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        println!("the round of seed {} failed: SEQUOR_SEED={} SEQUOR_ROUNDS=1", self.0, self.0);
    }
}

#[test]
fn a_service_whose_patterns_are_fixed_gives_what_the_naive_matcher_finds() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let mut service = Service::start(
            "[[streams]]\nname = \"events\"\nout_of_orderness = \"200ms\"\nidle_timeout = \"1d\"\nsilence = \"hold\"\n",
        );
        let text: String = NAMES.iter().map(|name| pattern(&mut random, name) + "\n").collect();
        service.post("/v1/patterns", &text).ok();
        let (mut clock, mut lines) = (1_000_000, Vec::new());
        for _ in 0..20 {
            let batch: Vec<String> = (0..random.between(1, 20))
                .map(|_| {
                    clock += random.between(0, 30);
                    line(&mut random, clock)
                })
                .collect();
            service.post("/v1/streams/events/events", batch.join("\n")).ok();
            lines.extend(batch.into_iter().map(String::into_bytes));
            if random.chance(20) {
                service.kill();
                service.restart();
            }
        }
        service.post("/v1/streams/events/watermark", "{\"time\":9000000000000}").ok();
        assert_eq!(service.stop(), 0, "{}", service.log());
        let sent = Out::sent(&service.data());
        let compiled = compile(&text, &Limits::default());
        let compiled_text = text;
        let settings = naive::Settings { out_of_orderness_ms: 200, ..naive::Settings::default() };
        let input = naive::Input { stream: "events".to_owned(), lines };
        let expected = naive::run(&[compiled.file], &[input], &settings).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let found = text(expected.matches);
        let both = sent.matches.lines().zip(found.lines()).enumerate();
        let differs = both.into_iter().find(|(_, (sent, found))| sent != found);
        assert!(sent.matches == found, "seed {seed}: sent and found: {differs:#?}\n{compiled_text}");
        assert_eq!(sent.late, text(expected.late), "seed {seed}");
        assert_eq!(sent.dead, text(expected.dead), "seed {seed}");
        assert!(!sent.matches.is_empty() && !sent.dead.is_empty());
    }
}

#[test]
fn exports_that_do_not_fit_are_refused_with_the_reason() {
    let mut service = Service::start("");
    service.post("/v1/streams/events/events", "{\"ts\":1}\n{\"ts\":2}\nno event\n").ok();
    assert_eq!(service.stop(), 0);
    let dir = service.dir.clone();
    export_both(&dir);
    let events = fs::read_to_string(dir.join("events.jsonl")).unwrap();
    let control = fs::read_to_string(dir.join("control.jsonl")).unwrap();
    let lines: Vec<&str> = events.lines().collect();
    assert_eq!(
        lines[2],
        r#"{"stream":"events","topic":null,"partition":0,"offset":2,"timestamp":null,"key":null,"headers":{},"raw":"no event"}"#
    );
    let refused = |control: &str, events: &str, why: &str| {
        fs::write(dir.join("c"), control).unwrap();
        fs::write(dir.join("e"), events).unwrap();
        let ran = sequor(&dir).args(["replay", "--control-log", "c", "--input", "e"]).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && said.contains(why), "{said}");
    };
    refused(&control, &format!("{}\n{}\n", lines[0], lines[1]), "end before offset 2, the frontier");
    refused(&control, &format!("{}\n{}\n", lines[0], lines[2]), "offset 2 where 1 is expected");
    let without_end =
        control.lines().filter(|line| !line.contains("\"frontier\"")).collect::<Vec<_>>().join("\n");
    let others = events.replace("\"events\"", "\"others\"");
    refused(&without_end, &others, "does not declare the stream `others`");
    refused(&control, &others, "end before offset 0, the frontier");
    refused(&control, "{\"ts\":1}\n", "a line is no record");
    refused(
        &control.replace("\"op\":\"frontier\"", "\"op\":\"prophecy\""),
        &events,
        "written by a newer one",
    );
    // Patterns can be run over an export as over the lines themselves.
    fs::write(dir.join("p"), "pattern pair match a: any next b: any within 1h").unwrap();
    let ran = sequor(&dir).args(["replay", "-p", "p", "-i", "events.jsonl"]).output().unwrap();
    assert!(String::from_utf8(ran.stdout).unwrap().contains(r#""start":1,"end":2"#));
    let parts = dir.join("part");
    fs::write(&parts, format!("{}\n", lines[0])).unwrap();
    fs::write(dir.join("rest"), format!("{}\n{}\n", lines[1], lines[2])).unwrap();
    let args = ["replay", "--control-log", "control.jsonl", "--input", "part", "--input", "rest"];
    assert!(sequor(&dir).args(args).output().unwrap().status.success());
}

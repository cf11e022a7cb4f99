//! Data in and out over HTTP: every limit is hit, retries write once, and what is followed goes on without a gap.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use serde_json::json;

use super::serving::{Answer, Service, eventually};

const EVENTS: &str = "/v1/streams/events/events";

const LIMITED: &str = r#"
[server]
max_body = "64MiB"
max_line = "1KiB"
max_sse_clients = 2
[data]
idempotency_keys = 3
[[streams]]
name = "events"
out_of_orderness = "0s"
"#;

const PAIR: &str = "pattern pair key by n match a: a followed by b: b within 10s";

fn start(config: &str) -> Service {
    Service::start(config)
}

fn event(kind: &str, ts: i64, n: i64) -> String {
    format!("{{\"type\":\"{kind}\",\"ts\":{ts},\"n\":{n}}}\n")
}

fn post_with(service: &Service, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    let mut all = vec![("content-type", "application/x-ndjson")];
    all.extend(headers);
    service.send("POST", EVENTS, &all, body)
}

fn counts(answer: &Answer) -> (i64, i64) {
    let json = answer.json();
    (json["accepted"].as_i64().unwrap(), json["rejected"].as_i64().unwrap())
}

fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let kind = answer.json()["type"].as_str().unwrap().to_owned();
    (answer.status, kind.rsplit('/').next().unwrap().to_owned())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The most memory that a process ever held, in bytes.
fn peak(service: &Service) -> u64 {
    let pid = std::fs::read_to_string(service.data().join("LOCK")).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn bodies_come_as_lines_json_gzip_and_zstd() {
    let service = start(LIMITED);
    let two = event("a", 1000, 1) + "\n \r\n" + &event("b", 1000, 2);
    assert_eq!(counts(&post_with(&service, &[], &two).ok()), (2, 0));
    let packed = gzip(two.as_bytes());
    assert_eq!(counts(&post_with(&service, &[("content-encoding", "gzip")], packed).ok()), (2, 0));
    let packed = zstd::bulk::compress(two.as_bytes(), 3).unwrap();
    let answer = post_with(&service, &[("content-encoding", "zstd")], packed).ok();
    assert_eq!(
        (answer.json()["first_offset"].as_i64(), answer.json()["last_offset"].as_i64()),
        (Some(4), Some(5))
    );
    let json = [("content-type", "application/json")];
    let array = "[{\"ts\":1000},\n {\"ts\":\n1001}, 7]";
    assert_eq!(counts(&service.send("POST", EVENTS, &json, array).ok()), (2, 1));
    let none = service.send("POST", EVENTS, &json, "[]").ok().json();
    assert_eq!(none, json!({"accepted": 0, "rejected": 0, "first_offset": null, "last_offset": null}));

    assert_eq!(problem(&service.send("POST", EVENTS, &json, "[{]")), (400, "invalid-json".into()));
    let other = service.send("POST", EVENTS, &[("content-type", "text/csv")], "a,b\n");
    assert_eq!(problem(&other), (415, "media-type".into()));
    let other = post_with(&service, &[("content-encoding", "br")], "x");
    assert_eq!(problem(&other), (415, "content-encoding".into()));
    let other = post_with(&service, &[("content-encoding", "gzip")], "no gzip");
    assert_eq!(problem(&other), (400, "invalid-encoding".into()));
    assert_eq!(problem(&service.post("/v1/streams/none/events", "{}\n")), (404, "no-such-stream".into()));
}

#[test]
fn a_bomb_is_refused_and_takes_little_memory() {
    // A checkpoint takes memory of its own.
    let service = start(&LIMITED.replace("[data]", "[data]\ncheckpoint_interval = \"1d\""));
    post_with(&service, &[], event("a", 1, 1)).ok();
    let before = peak(&service);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b'0'; 1 << 20];
    (0..1024).for_each(|_| bomb.write_all(&zeros).unwrap());
    let answer = post_with(&service, &[("content-encoding", "gzip")], bomb.finish().unwrap());
    assert_eq!(problem(&answer), (413, "too-large".into()));
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    (0..1024).for_each(|_| bomb.write_all(&zeros).unwrap());
    let answer = post_with(&service, &[("content-encoding", "zstd")], bomb.finish().unwrap());
    assert_eq!(problem(&answer), (413, "too-large".into()));
    let more = peak(&service) - before;
    assert!(more <= 16 << 20, "{more} bytes more");
    let plain = start(&LIMITED.replace("64MiB", "4KiB"));
    assert_eq!(problem(&post_with(&plain, &[], vec![b' '; 4097])), (413, "too-large".into()));
    assert_eq!(counts(&post_with(&plain, &[], vec![b' '; 4096]).ok()), (0, 0));
}

fn dead_letters(service: &Service, query: &str, count: usize) -> Vec<Json> {
    eventually("dead letters", || {
        let page = service.get(&format!("/v1/dead-letters?{query}")).ok().json();
        let items = page["items"].as_array().unwrap().clone();
        (items.len() >= count).then_some(items)
    })
}

#[test]
fn a_line_that_is_too_long_is_a_dead_letter_before_and_after_a_kill() {
    let mut service = start(LIMITED);
    let long = format!("{{\"ts\":1,\"text\":\"{}\"}}\n", "ü".repeat(512));
    let body = event("a", 1000, 1) + &long + &event("a", 3000, 1);
    assert_eq!(counts(&post_with(&service, &[], body).ok()), (2, 1));
    let before = dead_letters(&service, "", 1);
    assert_eq!(before[0]["object"]["reason"], "line longer than 1024 bytes");
    assert_eq!(before[0]["object"]["raw"], long.trim_end());
    assert_eq!((&before[0]["sequence"], &before[0]["kind"]), (&json!(0), &json!("dead_letter")));
    let refused = service.post("/v1/dead-letters/0/redrive", "");
    assert_eq!(problem(&refused), (422, "incomplete".into()));
    service.kill();
    service.restart();
    post_with(&service, &[], event("a", 9000, 1)).ok();
    assert_eq!(dead_letters(&service, "kind=dead_letter&stream=events", 1), before);
}

#[test]
fn what_was_rejected_can_be_sent_again() {
    let service = start(LIMITED);
    let body = event("a", 10_000, 1) + "{\"oops\n" + &event("b", 5000, 1) + &event("a", 20_000, 2);
    assert_eq!(counts(&post_with(&service, &[], body).ok()), (3, 1));
    let found = dead_letters(&service, "order=oldest", 2);
    let kinds: Vec<&str> = found.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["dead_letter", "late"]);
    let first = service.get("/v1/dead-letters?order=oldest&limit=1").ok().json();
    let rest =
        service.get(&format!("/v1/dead-letters?order=oldest&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!(rest.ok().json()["items"].as_array().unwrap()[0], found[1]);
    let again = service.post("/v1/dead-letters/0/redrive", "").ok().json();
    assert_eq!(again, json!({"stream": "events", "offset": 4, "accepted": false}));
    let mended = service.post("/v1/dead-letters/0/redrive", event("b", 21_000, 2)).ok().json();
    assert_eq!(mended, json!({"stream": "events", "offset": 5, "accepted": true}));
    let late = service.post("/v1/dead-letters/1/redrive", "").ok().json();
    assert_eq!((&late["offset"], &late["accepted"]), (&json!(6), &json!(true)));
    assert_eq!(problem(&service.post("/v1/dead-letters/99/redrive", "")).0, 404);
    assert_eq!(problem(&service.post("/v1/dead-letters/x/redrive", "")).0, 400);
    assert_eq!(problem(&service.get("/v1/dead-letters?kind=x")).0, 400);
}

#[test]
fn a_retry_is_answered_as_before_and_writes_nothing() {
    let mut service = start(LIMITED);
    let key = |key| [("idempotency-key", key)];
    let body = event("a", 1000, 1) + "no event\n";
    let first = post_with(&service, &key("one"), &body).ok();
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = post_with(&service, &key("one"), &body).ok();
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &first.body));
    let packed = [("idempotency-key", "one"), ("content-encoding", "gzip")];
    assert_eq!(post_with(&service, &packed, gzip(body.as_bytes())).ok().body, first.body);
    let other = post_with(&service, &key("one"), event("a", 1000, 2));
    assert_eq!(problem(&other), (422, "idempotency-key".into()));
    let long = "k".repeat(256);
    assert_eq!(problem(&post_with(&service, &[("idempotency-key", &long)], &body)).0, 400);

    service.kill();
    service.restart();
    let again = post_with(&service, &key("one"), &body).ok();
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &first.body));
    assert_eq!(problem(&post_with(&service, &key("one"), event("a", 1000, 2))).0, 422);

    // Three are remembered: the fourth pushes the first one out, now and after the next start.
    for name in ["two", "three", "four"] {
        post_with(&service, &key(name), &body).ok();
    }
    service.kill();
    service.restart();
    assert_eq!(post_with(&service, &key("two"), &body).ok().header("idempotency-replayed"), "true");
    let late = post_with(&service, &key("one"), &body).ok();
    assert_eq!((late.header("idempotency-replayed"), late.json()["first_offset"].as_i64()), ("", Some(8)));
}

#[test]
fn requests_with_one_key_at_the_same_moment_write_once() {
    let service = start(LIMITED);
    let body: String = (0..2000).map(|n| event("a", 1000 + n, n)).collect();
    for round in 0..5 {
        let key = format!("round {round}");
        let key = [("idempotency-key", key.as_str())];
        let answers: Vec<Answer> = thread::scope(|scope| {
            let one = || post_with(&service, &key, &body).ok();
            let all: Vec<_> = (0..6).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|answer| answer.body == answers[0].body));
        let written = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty());
        assert_eq!(written.count(), 1);
        assert_eq!(answers[0].json()["first_offset"].as_i64(), Some(2000 * round));
    }
}

/// Matches of `pair`, one for each number, ten seconds apart.
fn pairs(service: &Service, numbers: std::ops::Range<i64>) {
    let at = |n: i64| 1_000_000 + n * 20_000;
    let body: String = numbers.map(|n| event("a", at(n), n) + &event("b", at(n) + 1, n)).collect();
    post_with(service, &[], body).ok();
}

fn numbers(page: &Json) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|item| item["key"]["n"].as_i64().unwrap()).collect()
}

#[test]
fn matches_are_listed_byte_for_byte_by_filter_and_cursor() {
    let service = start(LIMITED);
    service.post("/v1/patterns", PAIR).ok();
    pairs(&service, 0..25);
    let get = |query: &str| service.get(&format!("/v1/matches?{query}")).ok().json();
    eventually("25 matches", || (numbers(&get("")).len() == 25).then_some(()));
    let newest_first: Vec<i64> = (0..25).rev().collect();
    for (order, all) in [("newest", newest_first.clone()), ("oldest", (0..25).collect())] {
        let (mut found, mut query) = (Vec::new(), format!("order={order}&limit=10"));
        loop {
            let page = get(&query);
            found.extend(numbers(&page));
            let Some(cursor) = page["next"].as_str() else { break };
            query = format!("order={order}&limit=10&cursor={cursor}");
        }
        assert_eq!(found, all);
    }
    assert_eq!(numbers(&get("key=n%3D7")), [7]);
    assert_eq!(numbers(&get("key=%7B%22n%22%3A8%7D&kind=match&pattern=pair")), [8]);
    assert_eq!(numbers(&get("pattern=other")), [] as [i64; 0]);
    assert_eq!(numbers(&get("kind=timeout")), [] as [i64; 0]);
    assert_eq!(numbers(&get("from=1060001&to=1100001")), [4, 3]);
    for wrong in ["kind=x", "key=7", "key=%7B", "limit=x", "unknown=1"] {
        assert_eq!(problem(&service.get(&format!("/v1/matches?{wrong}"))), (400, "invalid-parameter".into()));
    }
    let text = service.get("/v1/matches?limit=1").ok().body;
    let line = text.strip_prefix("{\"items\":[").unwrap().split("],\"next\"").next().unwrap();
    assert!(line.starts_with("{\"pattern\":\"pair\",\"version\":1,\"kind\":\"match\",\"id\":\""), "{line}");
}

/// A stream of matches, read as it comes.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(service: &Service, path: &str, headers: &str) -> Stream {
        let host = service.url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(socket, "GET {path} HTTP/1.0\r\nhost: {host}\r\n{headers}\r\n").unwrap();
        let mut lines = BufReader::new(socket);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        while !line.trim().is_empty() {
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        Stream(lines)
    }

    /// The next event's id and its key's number; none where the stream has ended.
    fn next(&mut self) -> Option<(u64, i64)> {
        let mut id = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            if let Some(found) = line.strip_prefix("id: ") {
                id = Some(found.trim().parse().unwrap());
            }
            if let Some(data) = line.strip_prefix("data: ") {
                let data: Json = serde_json::from_str(data).unwrap();
                return Some((id.take().unwrap(), data["key"]["n"].as_i64().unwrap()));
            }
        }
    }
}

#[test]
fn a_stream_of_matches_goes_on_where_it_was_cut() {
    let mut service = start(LIMITED);
    service.post("/v1/patterns", PAIR).ok();
    let mut stream = Stream::open(&service, "/v1/matches/stream?pattern=pair", "");
    pairs(&service, 0..10);
    let mut seen: Vec<(u64, i64)> = (0..6).map(|_| stream.next().unwrap()).collect();
    service.kill();
    drop(stream);
    service.restart();
    pairs(&service, 10..3000);
    let last = format!("Last-Event-ID: {}\r\n", seen.last().unwrap().0);
    let mut stream = Stream::open(&service, "/v1/matches/stream", &last);
    seen.extend((0..1500).map(|_| stream.next().unwrap()));
    drop(stream);
    let last = seen.last().unwrap().0;
    let path = format!("/v1/matches/stream?last_event_id={last}&key=n%3D2999");
    assert_eq!(Stream::open(&service, &path, "").next(), Some((2999, 2999)));
    let mut stream = Stream::open(&service, &format!("/v1/matches/stream?last_event_id={last}"), "");
    seen.extend((seen.len()..3000).map(|_| stream.next().unwrap()));
    assert!(seen.iter().copied().eq((0..3000).map(|n| (n as u64, n))));

    // One is open, another may be, a third not; and none holds the service back when it is to stop.
    let _second = Stream::open(&service, "/v1/matches/stream", "");
    let refused = service.get("/v1/matches/stream");
    assert_eq!((problem(&refused), refused.header("retry-after")), ((503, "too-many-streams".into()), "1"));
    let wrong = service.send("GET", "/v1/matches/stream", &[("last-event-id", "x")], "");
    assert_eq!(problem(&wrong).0, 400);
    assert_eq!(service.stop(), 0);
    assert_eq!(stream.next(), None);
    let mut rest = Vec::new();
    stream.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn streams_tell_how_they_stand() {
    let service = start(&LIMITED.replace("\"0s\"", "\"100ms\"\nsilence = \"hold\""));
    let times = (0..2000).map(|n| 1_000_000 + n * 10 - if n % 100 == 50 { 5000 } else { 0 });
    let body: String = times.map(|ts| event("a", ts, 1)).collect();
    post_with(&service, &[], body + "no event\n").ok();
    let stream = eventually("all are taken", || {
        let stream = service.get("/v1/streams/events").ok().json();
        (stream["partitions"][0]["taken"] == 2001).then_some(stream)
    });
    let partition = &stream["partitions"][0];
    assert_eq!((&stream["silence"], &stream["out_of_orderness"]), (&json!("hold"), &json!(100)));
    let counts = ["next_offset", "lag", "events", "late", "dead_letters", "watermark"];
    let counts = counts.map(|name| partition[name].as_i64().unwrap());
    assert_eq!(counts, [2001, 0, 2000, 20, 1, 1_019_990 - 101]);
    // One in a hundred is 4,990 ms behind: the bound has to reach them.
    let bound = partition["bound_for_99_9"].as_i64().unwrap();
    assert!((4990..=4990 * 9 / 8).contains(&bound), "{bound}");
    let all = service.get("/v1/streams").ok().json();
    assert_eq!((&all["items"][0], &all["held_by"]["stream"]), (&stream, &json!("events")));
    assert!(all["held_by"]["since"].as_i64().unwrap() > 0);
    // Eleven events above the watermark. Before the line that is none, nothing can stand any more.
    assert_eq!(all["waiting"], 11);
    let none = service.get("/v1/streams/none");
    assert_eq!(problem(&none), (404, "no-such-stream".into()));
    assert!(none.body.contains("there is no stream `none`"), "{}", none.body);
}

#[test]
fn health_and_metrics() {
    let service = start(LIMITED);
    service.post("/v1/patterns", PAIR).ok();
    pairs(&service, 0..3);
    post_with(&service, &[], "no event\n").ok();
    service.get("/nowhere");
    assert_eq!(service.get("/livez").ok().body, "ok\n");
    assert_eq!(
        service.get("/readyz?verbose").ok().body,
        "pipeline: ok\nstorage: ok\nturning: ok\nstaying: ok\nok\n"
    );
    let text = eventually("three matches in the metrics", || {
        let answer = service.get("/metrics").ok();
        assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
        answer.body.contains("sequor_matches_total 3\n").then_some(answer.body)
    });
    for line in [
        "sequor_source_events_total{stream=\"events\"} 6",
        "sequor_dead_letters_total{stream=\"events\"} 1",
        "sequor_source_lag_records{stream=\"events\"} 0.0",
        "sequor_patterns 1.0",
        "sequor_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "sequor_http_requests_total{method=\"POST\",route=\"/v1/streams/{stream}/events\",status=\"200\"} 2",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\n{text}");
    }
    // Every sample belongs to a metric that was declared with a type and a help; counters end in `_total`.
    let mut declared = std::collections::BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match (words[0], words.get(1)) {
            ("#", Some(&"EOF")) => {}
            ("#", Some(&"TYPE")) => _ = declared.insert(words[2], words[3]),
            ("#", Some(&"HELP")) => assert!(words[3].len() > 5, "{line}"),
            (sample, Some(_)) => {
                let name = sample.split('{').next().unwrap();
                let of = |suffix: &str| name.strip_suffix(suffix).and_then(|name| declared.get(name));
                let is_declared = of("_total") == Some(&"counter")
                    || of("_info") == Some(&"info")
                    || declared.get(name) == Some(&"gauge");
                assert!(name.starts_with("sequor_") && is_declared, "{line}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
            _ => panic!("{line}"),
        }
    }
    assert!(declared.len() >= 15 && text.ends_with("# EOF\n"));
}

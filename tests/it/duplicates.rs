//! Events that come again, known by an id: dropped and counted within a window of event time, across kills and settings.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use crate::serving::{Service, eventually};

fn config(duplicates: &str) -> String {
    format!(
        "[data]\ncheckpoint_interval = \"100ms\"\nsegment_size = \"4KiB\"\n[[streams]]\nname = \"events\"\n\
         out_of_orderness = \"100ms\"\nsilence = \"hold\"\n{duplicates}\n"
    )
}

const ONE_SECOND: &str = "duplicates = { id = \"meta.id\", window = \"1s\" }";

fn event(ts: i64, id: &str, n: i64) -> String {
    format!("{{\"type\":\"a\",\"ts\":{ts},\"meta\":{{\"id\":{id}}},\"n\":{n}}}\n")
}

/// The numbers of the events that were matched, up to a time.
fn matched(service: &Service, up_to: i64) -> Vec<i64> {
    service.post("/v1/streams/events/watermark", format!("{{\"time\":{up_to}}}")).ok();
    // It is behind the matches that a later one is there.
    service.post("/v1/streams/events/events", event(up_to + 1, "null", -1)).ok();
    service.post("/v1/streams/events/watermark", format!("{{\"time\":{}}}", up_to + 1)).ok();
    eventually("the last match", || {
        let page = service.get("/v1/matches?limit=1000&order=oldest").ok().json();
        let items = page["items"].as_array().unwrap().clone();
        let last = items.last().is_some_and(|item| item["end"] == up_to + 1);
        last.then(|| {
            items.iter().map(|item| item["fields"]["n"].as_i64().unwrap()).filter(|n| *n >= 0).collect()
        })
    })
}

fn partition(service: &Service) -> Json {
    service.get("/v1/streams/events").ok().json()["partitions"][0].clone()
}

#[test]
fn an_id_is_taken_once_within_the_window_whatever_it_is() {
    let service = Service::start(&config(ONE_SECOND));
    service.post("/v1/patterns", "pattern p match a: a select a.n as n").ok();
    let lines: String = [
        event(1000, "\"x\"", 0),
        event(1000, "\"y\"", 1),
        event(1500, "\"x\"", 2),
        // Written otherwise, they are the same.
        event(1500, "\"\\u0079\"", 3),
        event(1500, "1", 4),
        event(1500, "1.0", 5),
        event(1500, "\"1\"", 6),
        // What has no id is taken as it comes.
        event(1600, "null", 7),
        event(1600, "null", 8),
        event(1600, "[1]", 9),
        event(1600, "[1]", 10),
        // The watermark is at 1999, then at 2000: a second beyond the first event.
        event(2100, "null", 11),
        event(2100, "\"x\"", 12),
        event(2101, "null", 13),
        event(2102, "\"x\"", 14),
        event(2103, "\"x\"", 15),
        // One that is late was not taken, so it is no duplicate when it comes again.
        event(1700, "\"z\"", 16),
        event(2103, "\"z\"", 17),
        event(2103, "\"z\"", 18),
    ]
    .concat();
    let posted = service.post("/v1/streams/events/events", lines).ok().json();
    assert_eq!((&posted["accepted"], &posted["rejected"]), (&Json::from(19), &Json::from(0)));
    assert_eq!(matched(&service, 5000), [0, 1, 4, 6, 7, 8, 9, 10, 11, 13, 14, 17]);
    let stream = partition(&service);
    assert_eq!(
        (&stream["duplicates"], &stream["late"], &stream["events"]),
        (&6.into(), &1.into(), &20.into())
    );
    let metrics = service.get("/metrics").ok().body;
    assert!(metrics.contains("sequor_duplicate_events_total{stream=\"events\"} 6\n"), "{metrics}");
}

#[test]
fn what_came_before_a_kill_is_known_after_it_as_long_as_the_window_says() {
    let mut service = Service::start(&config(ONE_SECOND));
    service.post("/v1/patterns", "pattern p match a: a select a.n as n").ok();
    // The same by hand: an id is remembered until the watermark is a second beyond its event.
    let (mut known, mut expected) = (BTreeMap::new(), Vec::new());
    let (mut highest, mut n) = (10_000, 0);
    for round in 0..40 {
        let mut lines = String::new();
        for _ in 0..20 {
            let ts = 10_000 + n * 13 - (n * 7 % 11) * 10;
            let id = n * n % 97;
            let watermark = highest - 101;
            known.retain(|_, time: &mut i64| *time + 1000 > watermark);
            if !known.contains_key(&id) && ts > watermark {
                known.insert(id, ts);
                expected.push(n);
            }
            // Time goes on with duplicates too.
            highest = highest.max(ts);
            lines += &event(ts, &id.to_string(), n);
            n += 1;
        }
        service.post("/v1/streams/events/events", lines).ok();
        if round % 5 == 4 {
            thread::sleep(Duration::from_millis(250));
            service.kill();
            service.restart();
        }
    }
    let mut found = matched(&service, 100_000);
    found.sort_unstable();
    assert!(expected.len() > 100 && expected.len() < 700, "{}", expected.len());
    assert_eq!(found, expected);
    assert!(service.log().contains("going on from a checkpoint"), "{}", service.log());
}

#[test]
fn other_settings_hold_from_the_next_line_on() {
    let mut service = Service::start(&config(ONE_SECOND));
    service.post("/v1/patterns", "pattern p match a: a select a.n as n").ok();
    let post = |service: &Service, ts, id: &str, n| {
        service.post("/v1/streams/events/events", event(ts, id, n)).ok();
    };
    post(&service, 1000, "1", 0);
    post(&service, 1001, "1", 1);
    let restart = |service: &mut Service, duplicates: &str| {
        thread::sleep(Duration::from_millis(250));
        service.kill();
        service.configure(&config(duplicates));
        service.restart();
    };
    restart(&mut service, "");
    post(&service, 1002, "1", 2);
    // What was known is not known any more.
    restart(&mut service, ONE_SECOND);
    post(&service, 1003, "1", 3);
    post(&service, 1004, "1", 4);
    restart(&mut service, "duplicates = { id = \"meta.id\", window = \"1h\", max_ids = 2 }");
    post(&service, 1005, "1", 5);
    post(&service, 1006, "2", 6);
    post(&service, 1007, "3", 7);
    // Of three, the earliest was forgotten.
    post(&service, 1008, "1", 8);
    post(&service, 1009, "3", 9);
    assert_eq!(matched(&service, 5000), [0, 2, 3, 6, 7, 8]);
}

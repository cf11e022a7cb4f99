//! Suppression through the real service: at most one match per key in a length of event time, whatever happens between.

use serde_json::Value as Json;

use crate::serving::{Service, eventually};

/// The (key, end) of all matches, once there are so many.
fn ends(service: &Service, count: usize) -> Vec<(Json, i64)> {
    let items = || service.get("/v1/matches?limit=1000").ok().json()["items"].as_array().unwrap().clone();
    let items = eventually("all matches", || Some(items()).filter(|items| items.len() >= count));
    assert_eq!(items.len(), count, "{items:?}");
    let mut ends: Vec<_> =
        items.iter().map(|item| (item["key"]["k"].clone(), item["end"].as_i64().unwrap())).collect();
    ends.sort_by_key(|(_, end)| *end);
    ends
}

fn lines(events: impl Iterator<Item = (i64, i64)>) -> String {
    events.map(|(ts, k)| format!("{{\"type\":\"a\",\"ts\":{ts},\"k\":{k}}}\n")).collect()
}

const STREAM: &str =
    "[[streams]]\nname = \"events\"\nout_of_orderness = \"0ms\"\n[data]\ncheckpoint_interval = \"100ms\"\n";

#[test]
fn a_key_gives_one_match_in_the_time_that_is_set_across_kills_and_versions() {
    let mut service = Service::start(STREAM);
    let source = "pattern often key by k match a: a";
    let new = serde_json::json!({ "source": source, "suppress": "1s" }).to_string();
    let made = service.send("POST", "/v1/patterns", &[("content-type", "application/json")], new).ok().json();
    assert_eq!(made["items"][0]["suppress"], "1s");
    let mut expected = Vec::new();
    let mut until = [i64::MIN; 3];
    for round in 0..12_i64 {
        let events: Vec<_> = (0..30).map(|i| (1_000 + (round * 30 + i) * 40, (i * i + round) % 3)).collect();
        for &(ts, k) in &events {
            let until = &mut until[k as usize];
            if ts >= *until {
                *until = ts + 1_000;
                expected.push((Json::from(k), ts));
            }
        }
        service.post("/v1/streams/events/events", lines(events.into_iter())).ok();
        match round % 4 {
            1 => {
                std::thread::sleep(std::time::Duration::from_millis(150));
                service.kill();
                service.restart();
            }
            // Another version goes on with what was sent, however the old one ends.
            3 => {
                let state = ["drop", "carry", "drain"][round as usize / 4];
                let tag = service.get("/v1/patterns/often").header("etag").to_owned();
                let text = format!("{source} within 1h select a.k + {round} as x");
                let text = if state == "carry" { text.replace("+ 7", "+ 4") } else { text };
                let headers = [("content-type", "text/plain"), ("if-match", tag.as_str())];
                service.send("PUT", &format!("/v1/patterns/often?state={state}"), &headers, text).ok();
            }
            _ => {}
        }
    }
    assert!(expected.len() > 30 && expected.len() < 60, "{}", expected.len());
    assert_eq!(ends(&service, expected.len()), expected);
}

#[test]
fn suppression_is_taken_off_and_what_is_no_length_of_time_is_refused() {
    let service = Service::start(STREAM);
    let new = |suppress: &str| {
        let body =
            serde_json::json!({ "source": "pattern all match a: a", "suppress": suppress }).to_string();
        service.send("POST", "/v1/patterns", &[("content-type", "application/json")], body)
    };
    for (bad, why) in [("soon", "a duration is numbers with units"), ("0s", "a length of time above 0")] {
        let refused = new(bad);
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains(why), "{}", refused.body);
    }
    new("1h").ok();
    service.post("/v1/streams/events/events", lines((0..50).map(|i| (1_000 + i, i)))).ok();
    assert_eq!(ends(&service, 1).len(), 1);
    let tag = service.get("/v1/patterns/all").header("etag").to_owned();
    let headers = [("content-type", "application/merge-patch+json"), ("if-match", tag.as_str())];
    let patched = service.send("PATCH", "/v1/patterns/all", &headers, "{\"suppress\":null}").ok().json();
    assert_eq!(patched["suppress"], Json::Null);
    service.post("/v1/streams/events/events", lines((50..60).map(|i| (1_000 + i, i)))).ok();
    assert_eq!(ends(&service, 11).len(), 11);
}

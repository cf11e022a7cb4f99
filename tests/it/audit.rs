//! The audit: every use of every route that changes something is noted, with who and what came of it, and nothing secret.

use std::fs;

use sequor::api::auth::Role;
use sequor::api::auth::table::{RULES, Rule};
use serde_json::Value as Json;

use crate::serving::{Answer, Service, sequor};

const WITH_TOKENS: &str = "[auth]\nenabled = true\n";
const SECRET: &str = "hush_hush";

fn token(service: &Service, role: Role) -> String {
    let (name, role) = (format!("the-{role}"), role.to_string());
    let args = ["token", "create", "--name", &name, "--role", &role, "--data", "data"];
    let made = sequor(&service.dir).args(args).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn send(service: &Service, rule: &Rule, query: &str, token: Option<&str>) -> Answer {
    let path = rule.path.replace("{stream}", "events").replace("{name}", "card_testing");
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", &**bearer)).collect();
    service.send(rule.method, &format!("{path}{query}"), &headers, "")
}

/// All entries, oldest first.
fn entries(service: &Service, token: Option<&str>) -> Vec<Json> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", &**bearer)).collect();
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = service.send("GET", &format!("/v1/audit?limit=7{after}"), &headers, "").ok().json();
        all.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    all.reverse();
    let numbers: Vec<u64> = all.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
    all
}

#[test]
fn every_use_of_every_route_that_changes_something_is_noted() {
    let mut service = Service::new(WITH_TOKENS, &[]);
    let tokens = Role::ALL.map(|role| (role, token(&service, role)));
    let admin = tokens.iter().find(|(role, _)| *role == Role::Admin).map(|(_, token)| &**token);
    service.restart();
    let mut expected = Vec::new();
    for rule in RULES {
        for token in [None, Some(SECRET)].into_iter().chain(tokens.iter().map(|(_, token)| Some(&**token))) {
            let status = send(&service, rule, &format!("?{SECRET}={SECRET}"), token).status;
            let role = tokens.iter().find(|(_, known)| token == Some(&**known)).map(|(role, _)| *role);
            assert_eq!(
                matches!(status, 401 | 403),
                rule.least.is_some_and(|least| !role.is_some_and(|role| role.suffices(least))),
                "{rule:?} {role:?}: {status}"
            );
            if rule.is_mutation() {
                let who = role.map_or(Json::Null, |role| format!("the-{role}").into());
                expected.push((rule.method, rule.path, who, u64::from(status)));
            }
        }
    }
    assert!(expected.len() >= 7 * 6, "{expected:?}");
    for _ in 0..2 {
        let mut found = entries(&service, admin);
        for (method, route, who, status) in &expected {
            let at = found.iter_mut().find(|entry| {
                (&entry["method"], &entry["route"], &entry["who"])
                    == (&Json::from(*method), &Json::from(*route), who)
                    && entry["status"] == *status
                    && entry["requests"].as_u64() > Some(0)
            });
            let entry = at.unwrap_or_else(|| panic!("{method} {route} by {who}: {status} is not there"));
            assert!(
                entry["at"].as_i64() > Some(1_700_000_000_000) && entry["from"] == "127.0.0.1",
                "{entry}"
            );
            assert!(entry["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{entry}");
            assert_eq!(entry["problem"].is_string(), *status >= 400, "{entry}");
            entry["requests"] = (entry["requests"].as_u64().unwrap() - 1).into();
        }
        assert!(found.iter().all(|entry| entry["requests"] == 0), "nothing else is there: {found:?}");
        // What has been answered is durable.
        service.kill();
        service.restart();
    }
    let mut bytes = Vec::new();
    for file in fs::read_dir(service.data().join("audit")).unwrap() {
        bytes.extend(fs::read(file.unwrap().path()).unwrap());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&bytes), service.log());
    assert!(said.contains("the-admin"));
    for (_, secret) in &tokens {
        assert!(!said.contains(&**secret));
    }
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn what_was_changed_is_said() {
    let service = Service::start("");
    let text = "pattern one match a: a  pattern two match a: b";
    service.post("/v1/patterns?dry_run=true", text).ok();
    service.post("/v1/patterns", text).ok();
    assert_eq!(service.post("/v1/patterns", text).status, 409);
    service.send("DELETE", "/v1/patterns/one", &[("if-match", "*")], "").ok();
    for ts in 0..50 {
        service.post("/v1/streams/events/events", format!("{{\"type\":\"a\",\"ts\":{ts}}}")).ok();
    }
    let entries = entries(&service, None);
    let of = |entry: &Json| (entry["status"].as_u64().unwrap(), entry["requests"].as_u64().unwrap());
    let all: Vec<_> = entries.iter().map(of).collect();
    assert_eq!(all, [(200, 1), (201, 1), (409, 1), (200, 1), (200, 1), (200, 49)]);
    let what = |at: usize| &entries[at]["what"];
    assert_eq!(what(0)["dry_run"], true);
    assert_eq!(what(1)["patterns"][1]["name"], "two");
    assert_eq!(what(1)["patterns"][1]["action"], "create");
    assert_eq!(what(2)["patterns"][0], "one");
    assert_eq!(entries[2]["problem"], "exists");
    assert_eq!(what(3)["patterns"][0]["action"], "remove");
    assert_eq!(entries[5]["path"], "/v1/streams/events/events");
    assert!(entries.iter().all(|entry| entry["who"] == "anonymous"));
}

//! Backups: made while events are posted and patterns change, restored, and gone on with: byte for byte what the service that
//! was never interrupted gave.

use std::fs;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use sequor::journal::Tail;

use crate::generate::Random;
use crate::serving::{Service, eventually, sequor};

const CONFIG: &str = r#"
[data]
segment_size = "4KiB"
[[streams]]
name = "events"
out_of_orderness = "2s"
silence = "hold"
[[sinks]]
name = "all"
type = "file"
path = "all.jsonl"
"#;

/// What clients do, one after the other.
enum Act {
    /// To post lines, so many.
    Post(String, u64),
    /// To put a pattern, from an event time on.
    Put(String, i64),
    /// To say that time has come so far.
    Beat(i64),
}

fn acts(random: &mut Random, count: usize) -> Vec<Act> {
    let mut ts = 1_000_000;
    let mut acts = vec![Act::Put("pattern p0 match a: a followed by b: b within 10s".to_owned(), 0)];
    while acts.len() < count {
        let act = match random.below(20) {
            0 => {
                let number = acts.len();
                let kind = *random.pick(&["a", "b", "c"]);
                let text = format!("pattern p{number} match x: {kind} followed by y: a within 5s");
                Act::Put(text, ts + 500)
            }
            1 => {
                // Later than any before, so that it is noted.
                ts += 1;
                Act::Beat(ts)
            }
            _ => {
                let lines = 1 + random.below(20);
                let mut text = String::new();
                for _ in 0..lines {
                    ts += random.between(0, 300);
                    let late = random.below(4) * 1_000;
                    let kind = *random.pick(&["a", "b", "c"]);
                    text += &match random.below(12) {
                        0 => "no event\n".to_owned(),
                        _ => format!("{{\"type\":\"{kind}\",\"ts\":{}}}\n", ts - late as i64),
                    };
                }
                Act::Post(text, lines)
            }
        };
        acts.push(act);
    }
    acts
}

fn act(service: &Service, act: &Act) {
    let answer = match act {
        Act::Post(lines, _) => service.post("/v1/streams/events/events", lines),
        Act::Put(text, from) => service.post(&format!("/v1/patterns?effective_from={from}"), text),
        Act::Beat(time) => service.post("/v1/streams/events/watermark", format!("{{\"time\":{time}}}")),
    };
    answer.ok();
}

/// The lines of a log of a service that does not run.
fn log(service: &Service, name: &str) -> String {
    let tail = Tail::open(&service.data().join(name)).unwrap();
    let records = tail.reader(0).unwrap().map(|record| record.unwrap().body);
    String::from_utf8(records.collect::<Vec<_>>().concat()).unwrap()
}

fn begin_backup(service: &Service, to: &Path) -> Child {
    let mut command = sequor(&service.dir);
    command.args(["backup", "--url", &service.url, "--output"]).arg(to);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn restore(service: &Service, from: &Path) -> Output {
    sequor(&service.dir).arg("restore").arg(from).args(["--data", "data"]).output().unwrap()
}

/// How many of the acts a service has seen: those before some point, all of them, and none after it.
fn seen(service: &Service, acts: &[Act]) -> usize {
    let streams = service.get("/v1/streams").ok().json();
    let lines = streams["items"][0]["partitions"][0]["next_offset"].as_u64().unwrap();
    let control = service.get("/v1/control-log").ok().body;
    let decided = |kind: &str| control.lines().filter(|line| line.contains(kind)).count();
    let there = (lines, decided("\"changes\":["), decided("\"heartbeat\""));
    let mut sum = (0, 0, 0);
    for (count, act) in acts.iter().enumerate() {
        if sum == there {
            return count;
        }
        match act {
            Act::Post(_, lines) => sum.0 += lines,
            Act::Put(..) => sum.1 += 1,
            Act::Beat(_) => sum.2 += 1,
        }
    }
    assert_eq!(sum, there, "it is no moment: {control}");
    acts.len()
}

#[test]
fn a_restored_service_goes_on_as_if_nothing_had_been() {
    let rounds = std::env::var("SEQUOR_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let (mut tried, mut whole, mut meanwhile) = (0, 0, 0);
    for seed in 0..rounds {
        let random = &mut Random::new(seed);
        let acts = acts(random, 120);
        let mut service = Service::start(CONFIG);
        let folder = tempfile::tempdir().unwrap();
        let mut backups: Vec<(usize, std::path::PathBuf)> = Vec::new();
        let mut running: Option<Child> = None;
        for (at, next) in acts.iter().enumerate() {
            if random.below(15) == 0 && running.is_none() {
                let to = folder.path().join(format!("{at}.tar.zst"));
                running = Some(begin_backup(&service, &to));
                backups.push((at, to));
            }
            if random.below(40) == 0 {
                service.post("/v1/savepoint", "{}").ok();
            }
            act(&service, next);
            if let Some(child) = &mut running
                && child.try_wait().unwrap().is_some()
            {
                running = None;
            }
            if random.below(30) == 0 {
                service.kill();
                service.restart();
                assert!(!service.data().join("backup").exists(), "what was left behind is gone");
            }
        }
        if let Some(mut child) = running {
            child.wait().unwrap();
        }
        assert_eq!(service.stop(), 0, "{}", service.log());
        let expected = (log(&service, "matches"), log(&service, "rejected"));
        let file = fs::read_to_string(service.dir.join("all.jsonl")).unwrap();
        assert!(expected.0.lines().count() > 100 && expected.1.lines().count() > 10 && file == expected.0);
        for (at, backup) in backups {
            tried += 1;
            // One during which the service was killed is not there.
            if !backup.exists() {
                continue;
            }
            whole += 1;
            fs::remove_dir_all(service.data()).unwrap();
            let said = restore(&service, &backup);
            assert!(said.status.success(), "{said:?}");
            // The file is as it was left, later than the backup; or it begins anew.
            let begins_anew = random.below(3) == 0;
            if begins_anew {
                fs::remove_file(service.dir.join("all.jsonl")).unwrap();
                fs::remove_dir_all(service.data().join("sinks")).unwrap();
            }
            service.restart();
            let seen = seen(&service, &acts);
            assert!(seen >= at, "what was answered before the backup is in it: {seen} of {at}");
            meanwhile += usize::from(seen > at);
            let kill_at = seen + random.below(30) as usize;
            for (at, next) in acts.iter().enumerate().skip(seen) {
                act(&service, next);
                if at == kill_at {
                    service.kill();
                    service.restart();
                }
            }
            assert_eq!(service.stop(), 0, "{}", service.log());
            assert!(
                (log(&service, "matches"), log(&service, "rejected")) == expected,
                "seed {seed}, at {at}"
            );
            let written = fs::read_to_string(service.dir.join("all.jsonl")).unwrap();
            let is_right = if begins_anew { file.ends_with(&written) } else { written == file };
            assert!(is_right, "seed {seed}, at {at}");
            fs::write(service.dir.join("all.jsonl"), &file).unwrap();
        }
    }
    assert!(whole * 2 > tried && whole >= 2 * rounds, "{whole} of {tried}");
    assert!(meanwhile > 0, "the service went on meanwhile");
}

#[test]
fn what_is_not_whole_is_refused_and_leaves_nothing() {
    let service = Service::start(CONFIG);
    let random = &mut Random::new(9);
    acts(random, 20).iter().for_each(|next| act(&service, next));
    let number = service.post("/v1/savepoint", "{}").ok().json()["number"].as_u64().unwrap();
    let printed = sequor(&service.dir).args(["savepoint", "--url", &service.url]).output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), format!("{}\n", number + 1));
    let to = service.dir.join("one.tar.zst");
    let made = begin_backup(&service, &to).wait_with_output().unwrap();
    assert!(made.status.success(), "{made:?}");
    eventually("the files to be gone", || (!service.data().join("backup").exists()).then_some(()));
    assert!(!service.dir.join("one.tar.zst.part").exists());
    assert_eq!(begin_backup(&service, &to).wait().unwrap().code(), Some(1), "it is there already");
    let bytes = fs::read(&to).unwrap();
    let other = Service::new(CONFIG, &[]);
    let damaged = other.dir.join("damaged.tar.zst");
    for _ in 0..40 {
        let mut bytes = bytes.clone();
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(2) {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << random.below(8),
        }
        fs::write(&damaged, bytes).unwrap();
        let said = restore(&other, &damaged);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        assert!(!other.data().exists() && !other.dir.join("data.restoring").exists());
    }
    assert!(restore(&other, &to).status.success());
    let said = restore(&other, &to);
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8(said.stderr).unwrap().contains("is not empty"));
    eventually("the service goes on", || (service.get("/readyz").status == 200).then_some(()));
}

//! The program as its users meet it: arguments, files, exit status, and what it says.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

const PAIRS: &str =
    "pattern pairs key by k match a: a followed by b: b within 10s select a.n as one, b.n as two";

/// A directory with files in it.
struct Place(TempDir);

impl Place {
    fn new(files: &[(&str, &[u8])]) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, bytes)| fs::write(place.path(name), bytes).unwrap());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sequor(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sequor"));
        command.args(args).current_dir(self.0.path());
        command
    }

    /// Runs to the end, with some standard input.
    fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.sequor(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The program may well end before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran::from(child.wait_with_output().unwrap())
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    fn lines(&self, name: &str) -> Vec<Json> {
        fs::read_to_string(self.path(name))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// What came of a run.
#[derive(Debug)]
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Ran {
    fn from(output: Output) -> Ran {
        Ran {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The computed fields of each match.
    fn fields(&self) -> Vec<String> {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
            .lines()
            .map(|line| serde_json::from_str::<Json>(line).unwrap()["fields"].to_string())
            .collect()
    }

    /// Fails unless the run ended so, saying this.
    #[track_caller]
    fn says(&self, status: i32, text: &str) {
        assert!(self.status == status && self.err.contains(text), "status {}: {}", self.status, self.err);
        assert_eq!(self.out, "");
    }
}

fn event(kind: &str, ts: i64, n: i64) -> String {
    format!("{{\"type\":\"{kind}\",\"ts\":{ts},\"k\":1,\"n\":{n}}}\n")
}

fn pairs(count: i64) -> String {
    (0..count).map(|i| event("a", i * 20, i) + &event("b", i * 20 + 10, i)).collect()
}

#[test]
fn matches_go_to_standard_output_and_the_summary_to_standard_error() {
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", pairs(2).as_bytes())]);
    let expected = [r#"{"one":0,"two":0}"#, r#"{"one":1,"two":1}"#];
    let ran = place.run(&["replay", "--pattern", "p.seq", "--input", "e.jsonl"]);
    assert_eq!(ran.fields(), expected);
    assert!(ran.err.contains("4 events") && ran.err.contains("2 matches"), "{}", ran.err);
    for quiet in ["-q", "--quiet"] {
        let ran = place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", quiet]);
        assert_eq!((ran.fields().len(), ran.err.as_str()), (2, ""));
    }
    let ran = place.run_with(&["replay", "-p", "p.seq"], pairs(2).as_bytes());
    assert_eq!(ran.fields(), expected, "standard input is the default");
    let ran = place.run_with(&["replay", "-p", "p.seq", "-i", "-", "-o", "-"], pairs(2).as_bytes());
    assert_eq!(ran.fields(), expected);
    let ran = place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--output", "out.jsonl"]);
    assert_eq!((ran.status, ran.out.as_str(), place.lines("out.jsonl").len()), (0, "", 2));
}

#[test]
fn the_output_does_not_depend_on_threads_or_batches() {
    let events = pairs(3_000);
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", events.as_bytes())]);
    let run = |threads: &str, batch: &str| {
        let ran = place.run(&[
            "replay",
            "-p",
            "p.seq",
            "-i",
            "e.jsonl",
            "--threads",
            threads,
            "--batch-size",
            batch,
        ]);
        assert_eq!(ran.status, 0);
        ran.out
    };
    let expected = run("1", "4096");
    assert_eq!(expected.lines().count(), 3_000);
    for (threads, batch) in [("1", "1"), ("2", "7"), ("3", "1"), ("8", "100000")] {
        assert!(run(threads, batch) == expected, "{threads} threads, batches of {batch}");
    }
}

#[test]
fn compressed_files_are_unpacked_with_all_their_members() {
    let text = pairs(4);
    let (front, back) = text.as_bytes().split_at(text.len() / 2 + 3);
    let gz = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zst = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let place = Place::new(&[
        ("p.seq", PAIRS.as_bytes()),
        ("one.jsonl.gz", &gz(text.as_bytes())),
        ("two.GZ", &[gz(front), gz(back)].concat()),
        ("one.jsonl.zst", &zst(text.as_bytes())),
        ("two.zst", &[zst(front), zst(back)].concat()),
        ("cut.jsonl.gz", &gz(text.as_bytes())[..60]),
        ("cut.zst", &zst(text.as_bytes())[..60]),
        ("text.gz", text.as_bytes()),
    ]);
    for file in ["one.jsonl.gz", "two.GZ", "one.jsonl.zst", "two.zst"] {
        assert_eq!(place.run(&["replay", "-p", "p.seq", "-i", file]).fields().len(), 4, "{file}");
    }
    for file in ["cut.jsonl.gz", "cut.zst", "text.gz"] {
        let ran = place.run(&["replay", "-p", "p.seq", "-i", file]);
        assert!(ran.status == 1 && ran.err.contains(&format!("cannot read `{file}`")), "{ran:?}");
    }
}

/// The events of `pairs` as CSV.
fn csv_pairs(count: i64) -> String {
    let row = |kind, ts, n| format!("{kind},{ts},1,{n},\"text, in \"\"quotes\"\"\n\"\r\n");
    let rows = (0..count).map(|i| row("a", i * 20, i) + &row("b", i * 20 + 10, i));
    std::iter::once("type,ts,k,n,note\n".to_owned()).chain(rows).collect()
}

#[test]
fn csv_is_read_as_the_objects_that_its_header_makes_of_it() {
    let object = |kind: &str, ts: i64, n: i64| {
        format!(r#"{{"type":"{kind}","ts":{ts},"k":1,"n":{n},"note":"text, in \"quotes\"\n"}}"#) + "\n"
    };
    let json: String = (0..9_000).map(|i| object("a", i * 20, i) + &object("b", i * 20 + 10, i)).collect();
    let csv = csv_pairs(9_000);
    let gz = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(csv.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let place = Place::new(&[
        ("p.seq", PAIRS.as_bytes()),
        ("e.jsonl", json.as_bytes()),
        ("e.csv", csv.as_bytes()),
        ("e.CSV.gz", &gz),
        ("e.csv.zst", &zstd::encode_all(csv.as_bytes(), 1).unwrap()),
        ("e.txt", csv.as_bytes()),
    ]);
    let expected = place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl"]).out;
    assert_eq!(expected.lines().count(), 9_000);
    for file in ["e.csv", "e.CSV.gz", "e.csv.zst"] {
        assert!(place.run(&["replay", "-p", "p.seq", "-i", file]).out == expected, "{file}");
    }
    for (threads, batch) in [("1", "1"), ("2", "7"), ("5", "4096")] {
        let args = ["replay", "-p", "p.seq", "-i", "e.csv", "--threads", threads, "--batch-size", batch];
        assert!(place.run(&args).out == expected, "{threads} threads, batches of {batch}");
    }
    assert!(place.run(&["replay", "-p", "p.seq", "-i", "e.txt", "--format", "csv"]).out == expected);
    assert!(place.run_with(&["replay", "-p", "p.seq", "--format", "csv"], csv.as_bytes()).out == expected);
    assert!(place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--format", "jsonl"]).out == expected);
    place.run(&["replay", "-p", "p.seq", "-i", "e.csv", "--format", "xml"]).says(2, "xml");
}

#[test]
fn records_that_are_no_events_are_dead_letters_as_they_came() {
    let csv = "type,ts,k,n\na,1,1,1\n\nb,2,1\nb,,1,2\nx\"y,3,1,3\n\"b\",\"4\n5\",1,4\r\nb,6,1,5\n\"open,7";
    let place =
        Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.csv", csv.as_bytes()), ("bad.csv", b"\"a,b\n1,2\n")]);
    let ran = place.run(&["replay", "-p", "p.seq", "-i", "e.csv", "--dead-letter", "d"]);
    assert_eq!(ran.fields(), [r#"{"one":1,"two":5}"#]);
    let dead: Vec<_> = place
        .lines("d")
        .iter()
        .map(|d| (d["offset"].as_u64().unwrap(), d["reason"].to_string(), d["raw"].to_string()))
        .collect();
    let dead: Vec<_> =
        dead.iter().map(|(offset, reason, raw)| (*offset, reason.as_str(), raw.as_str())).collect();
    assert_eq!(
        dead,
        [
            (1, r#""invalid CSV: 3 columns, where the header has 4""#, r#""b,2,1""#),
            (2, r#""no event time: `ts` is missing""#, r#""b,,1,2""#),
            (3, r#""invalid CSV: a quote within a field that does not begin with one""#, r#""x\"y,3,1,3""#),
            (
                4,
                r#""invalid event time: `ts` is neither a whole number of milliseconds nor an RFC 3339 time""#,
                r#""\"b\",\"4\n5\",1,4""#
            ),
            (
                6,
                r#""invalid CSV: a quoted field goes on after its closing quote, or has none""#,
                r#""\"open,7""#
            ),
        ]
    );
    for threads in ["1", "2"] {
        let ran = place.run(&["replay", "-p", "p.seq", "-i", "bad.csv", "--threads", threads]);
        ran.says(1, "cannot read `bad.csv`: its header: invalid CSV");
    }
}

#[test]
fn inputs_are_partitions_of_streams() {
    let pattern = "pattern all from logins match e: any select e.n as n, e.@stream as s, e.@partition as p, e.@offset as o";
    let place = Place::new(&[
        ("p.seq", pattern.as_bytes()),
        ("x", (event("a", 1, 1) + "\n" + &event("a", 2, 2)).as_bytes()),
        ("y", event("a", 1, 3).as_bytes()),
        ("z", event("a", 1, 4).as_bytes()),
        ("logins=x", event("a", 1, 5).as_bytes()),
    ]);
    let run = |inputs: &[&str]| {
        let inputs = inputs.iter().flat_map(|input| ["-i", input]);
        place.run(&["replay", "-p", "p.seq"].into_iter().chain(inputs).collect::<Vec<_>>())
    };
    let ran = run(&["logins=x", "y", "logins=z"]);
    let expected = [
        r#"{"n":1,"s":"logins","p":0,"o":0}"#,
        r#"{"n":4,"s":"logins","p":2,"o":0}"#,
        r#"{"n":2,"s":"logins","p":0,"o":2}"#,
    ];
    let expected: Vec<String> =
        expected.iter().map(|text| serde_json::from_str::<Json>(text).unwrap().to_string()).collect();
    assert_eq!(ran.fields(), expected);
    let ran = run(&["./logins=x"]);
    assert_eq!(ran.fields(), [""; 0], "a path, not a stream");
    assert!(ran.err.contains("`logins`") && ran.err.contains("1 events"), "{}", ran.err);
}

#[test]
fn late_events_and_dead_letters_are_told_with_their_places() {
    let events = [
        event("a", 10_000, 1),
        event("b", 4_999, 2),
        "oops\n".into(),
        event("b", 11_000, 3),
        event("b", 5_000, 4),
    ];
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", events.concat().as_bytes())]);
    let ran = place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--late", "l", "--dead-letter", "d"]);
    assert_eq!(ran.fields(), [r#"{"one":1,"two":3}"#]);
    assert!(ran.err.contains("2 late") && ran.err.contains("1 dead letter"), "{}", ran.err);
    let late = fs::read_to_string(place.path("l")).unwrap();
    let (first, second) = (events[1].trim_end(), events[4].trim_end());
    assert_eq!(
        late,
        format!(
            "{{\"reason\":\"late\",\"partition\":0,\"offset\":1,\"watermark\":4999,\"event\":{first}}}\n\
             {{\"reason\":\"late\",\"partition\":0,\"offset\":4,\"watermark\":5999,\"event\":{second}}}\n"
        )
    );
    let dead = fs::read_to_string(place.path("d")).unwrap();
    let reason = "invalid JSON: expected value at line 1 column 1";
    assert_eq!(dead, format!("{{\"reason\":\"{reason}\",\"partition\":0,\"offset\":2,\"raw\":\"oops\"}}\n"));
    for (bound, late) in [("0", 2), ("0ms", 2), ("5000ms", 2), ("5001ms", 1), ("1h30m", 0)] {
        let ran = place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--out-of-orderness", bound]);
        assert!(ran.status == 0 && ran.err.contains(&format!("{late} late")), "{bound}: {}", ran.err);
    }
}

#[test]
fn time_and_type_may_have_other_names() {
    let events = "{\"meta\":{\"at\":\"2024-01-01T00:00:00Z\"},\"kind\":\"a\",\"k\":1,\"n\":1}\n\
                  {\"meta\":{\"at\":\"2024-01-01T00:00:01+00:00\"},\"kind\":\"b\",\"k\":1,\"n\":2}\n";
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", events.as_bytes())]);
    let ran = place.run(&[
        "replay",
        "-p",
        "p.seq",
        "-i",
        "e.jsonl",
        "--time-field",
        "meta.at",
        "--type-field",
        "kind",
    ]);
    assert_eq!(ran.fields(), [r#"{"one":1,"two":2}"#]);
    let ran = place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--dead-letter", "d"]);
    assert_eq!(ran.status, 0);
    assert_eq!(place.lines("d")[0]["reason"], "no event time: `ts` is missing");
}

#[test]
fn bad_lines_among_many_do_no_harm() {
    let poison: [&[u8]; 7] =
        [b"{", b"[]", b"\xff\xfe", b"{\"ts\":null}", b"{\"ts\":\"x\"}", b"nul", b"{\"ts\":1}}"];
    let mut lines = Vec::new();
    let mut bad = Vec::new();
    for i in 0..5_000 {
        if i % 50 == 7 {
            bad.push(lines.len() as u64);
            lines.push(poison[i / 50 % poison.len()].to_vec());
        }
        lines.push(event("a", i as i64 * 20, i as i64).into_bytes());
        lines.push(event("b", i as i64 * 20 + 10, i as i64).into_bytes());
    }
    lines.iter_mut().filter(|line| line.last() != Some(&b'\n')).for_each(|line| line.push(b'\n'));
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", &lines.concat())]);
    for threads in ["1", "2"] {
        let ran = place.run(&[
            "replay",
            "-p",
            "p.seq",
            "-i",
            "e.jsonl",
            "--dead-letter",
            "d",
            "--threads",
            threads,
        ]);
        assert_eq!(ran.fields().len(), 5_000);
        let dead = place.lines("d");
        assert_eq!(dead.iter().map(|letter| letter["offset"].as_u64().unwrap()).collect::<Vec<_>>(), bad);
        assert_eq!(dead[2]["raw"], "\u{fffd}\u{fffd}");
        assert_eq!(dead[2]["raw_base64"], "//4=");
        assert_eq!(dead[3]["raw_base64"], Json::Null);
    }
}

#[test]
fn a_huge_line_is_a_dead_letter_and_a_long_one_is_an_event() {
    let long = |bytes: usize| {
        let start = "{\"type\":\"b\",\"ts\":5,\"k\":1,\"n\":2,\"x\":\"";
        format!("{start}{}\"}}\n", "y".repeat(bytes - start.len() - 2))
    };
    let limit = 16 << 20;
    let text = [event("a", 1, 1), long(limit + 1), long(limit), event("b", 6, 3)].concat();
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", text.as_bytes())]);
    let ran = place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--dead-letter", "d"]);
    assert_eq!(ran.fields(), [r#"{"one":1,"two":2}"#]);
    let dead = place.lines("d");
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0]["reason"], &dead[0]["offset"]),
        (&"line longer than 16777216 bytes".into(), &1.into())
    );
    assert_eq!(dead[0]["raw"].as_str().unwrap(), &long(limit + 1)[..64 << 10]);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_run_quietly() {
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", pairs(50_000).as_bytes())]);
    for threads in ["1", "2"] {
        let mut command = place.sequor(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--threads", threads]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
    }
}

#[test]
fn a_closed_output_ends_the_run_although_the_input_stays_open() {
    let place = Place::new(&[("p.seq", PAIRS.as_bytes())]);
    let mut command = place.sequor(&["replay", "-p", "p.seq", "--threads", "2", "--out-of-orderness", "0"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut out = child.stdout.take().unwrap();
    // A match is written as soon as the watermark has passed it, whatever else may come.
    input.write_all(pairs(2).as_bytes()).unwrap();
    let mut first = [0; 20];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"{\"pattern\":\"pairs\",\"");
    drop(out);
    // A process that another test is just starting may hold the other end for a moment, and a match still goes there.
    let status = (1..).find_map(|round| {
        let more = event("a", round * 1_000, 1) + &event("b", round * 1_000 + 1, 1);
        // The end of the run closes the input.
        let _ = input.write_all(more.as_bytes());
        thread::sleep(Duration::from_millis(20));
        child.try_wait().unwrap()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    drop(input);
}

#[test]
fn a_failed_read_or_write_is_status_1() {
    let place = Place::new(&[("p.seq", PAIRS.as_bytes()), ("e.jsonl", pairs(2).as_bytes())]);
    fs::create_dir(place.path("dir")).unwrap();
    place
        .run(&["replay", "-p", "p.seq", "-i", "missing.jsonl"])
        .says(1, "cannot open the input `missing.jsonl`");
    place.run(&["replay", "-p", "p.seq", "-i", "dir"]).says(1, "cannot read `dir`");
    place
        .run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "-o", "no/out"])
        .says(1, "cannot write to `no/out`");
    place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--late", "dir"]).says(1, "cannot write to `dir`");
    place.run(&["replay", "-p", "missing.seq", "-i", "e.jsonl"]).says(1, "`missing.seq`");
    if Path::new("/dev/full").exists() {
        for threads in ["1", "2"] {
            let args = ["replay", "-p", "p.seq", "-i", "e.jsonl", "-o", "/dev/full", "--threads", threads];
            place.run(&args).says(1, "cannot write the matches: No space left");
        }
    }
}

#[test]
fn bad_patterns_and_flags_are_status_2() {
    let place = Place::new(&[
        ("p.seq", PAIRS.as_bytes()),
        ("q.seq", PAIRS.as_bytes()),
        ("bad.seq", b"pattern x match a: a where"),
        ("worse.seq", b"pattern y match a: a\npattern z match b: b followed by b: c"),
        ("empty.seq", b"// nothing\n"),
        ("deep.seq", format!("pattern x match a: a where x{} > 1", ".x".repeat(100)).as_bytes()),
        ("latin.seq", b"pattern x // \xe9\n match a: a"),
        ("e.jsonl", b""),
    ]);
    let ran = place.run(&["replay", "-p", "bad.seq", "-p", "worse.seq", "-i", "e.jsonl"]);
    ran.says(2, "bad.seq:1:27");
    ran.says(2, "worse.seq:2:");
    place.run(&["replay", "-p", "p.seq", "-p", "q.seq", "-i", "e.jsonl"]).says(2, "`pairs` is in both");
    place.run(&["replay", "-p", "empty.seq", "-i", "e.jsonl"]).says(2, "no pattern");
    place.run(&["replay", "-p", "deep.seq", "-i", "e.jsonl"]).says(2, "a path of more than 100 steps");
    place.run(&["replay", "-p", "latin.seq", "-i", "e.jsonl"]).says(2, "UTF-8");
    place.run(&["replay", "-i", "e.jsonl"]).says(2, "--pattern");
    place.run(&["replay", "-p", "p.seq", "--no-such-flag"]).says(2, "--no-such-flag");
    place.run(&["replay", "-p", "p.seq", "--out-of-orderness", "soon"]).says(2, "soon");
    place.run(&["replay", "-p", "p.seq", "--threads", "0"]).says(2, "--threads");
    place.run(&["replay", "-p", "p.seq", "-i", "-", "-i", "-"]).says(2, "standard input");
    place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "-o", "e.jsonl"]).says(2, "`e.jsonl` is an input");
    place.run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "-o", "./e.jsonl"]).says(2, "is an input");
    place
        .run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--late", "x", "--dead-letter", "x"])
        .says(2, "two outputs");
    place
        .run(&["replay", "-p", "p.seq", "-i", "e.jsonl", "--late", "-"])
        .says(2, "standard output is for matches");
    assert!(!place.path("x").exists(), "nothing is written before everything is checked");
}

#[test]
fn completions_are_scripts_for_shells() {
    let place = Place::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let ran = place.run(&["completions", shell]);
        assert!(ran.status == 0 && ran.out.contains("sequor") && ran.out.contains("replay"), "{shell}");
    }
}

//! From the tree as written to the settings as resolved: every key with its default and its bounds, then what holds
//! between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::node::Table;
use super::problem::{Fault, code};
use super::reader::{self, Found, Section};
use super::settings::*;
use super::value::{ByteSize, Field, Name, SinkKind, Url};
use crate::event::TimeSpan;
use crate::event::decode::LINE_BYTES_MAX;

/// The stream that there is where none is named.
pub const DEFAULT_STREAM: &str = "events";

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

fn bytes(size: u64) -> ByteSize {
    ByteSize(size)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Spans of event time may have any length up to this.
const SPAN_MAX: TimeSpan = TimeSpan(3_650 * 86_400_000);

/// Reads all settings. Where there are faults in the end, the settings are of no use.
pub(super) fn resolve(found: &mut Found, table: Table) -> Settings {
    let settings = reader::read(found, table, |root| {
        let server = root.section("server", server);
        let exposed = !server.listen.ip().is_loopback();
        Settings {
            server,
            data: root.section("data", data),
            engine: root.section("engine", engine),
            limits: root.section("limits", limits),
            auth: root.section("auth", |auth| Auth {
                enabled: auth.value("enabled", exposed),
                tokens_file: auth.optional("tokens_file"),
            }),
            log: root.section("log", |log| Log {
                level: log.value("level", LogLevel::Info),
                format: log.value("format", LogFormat::Auto),
            }),
            otlp: root.section("otlp", |otlp| Otlp {
                endpoint: otlp.optional::<Url>("endpoint").map(|Url(url)| url),
            }),
            streams: streams(root),
            sinks: root.list("sinks", |_, sink| self::sink(sink)),
        }
    });
    refuse_exposure(found, &settings);
    refuse_namesakes(found, &settings);
    settings
}

fn server(server: &mut Section<'_>) -> Server {
    Server {
        listen: server.value("listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 7878))),
        tls: server.table("tls", |tls| {
            let (cert, key) = (tls.required("cert"), tls.required("key"));
            Some(Tls { cert: cert?, key: key? })
        }),
        allow_insecure: server.value("allow_insecure", false),
        max_connections: server.within("max_connections", 1..=1_000_000, 1_024),
        request_timeout: server.within("request_timeout", secs(1)..=secs(DAY), secs(30)),
        max_body: server.within("max_body", bytes(KIB)..=bytes(4 * GIB), bytes(64 * MIB)),
        max_line: server.within(
            "max_line",
            bytes(KIB)..=bytes(LINE_BYTES_MAX as u64),
            bytes(LINE_BYTES_MAX as u64),
        ),
        max_pattern_text: server.within("max_pattern_text", bytes(KIB)..=bytes(16 * MIB), bytes(MIB)),
        max_sse_clients: server.within("max_sse_clients", 0..=100_000, 64),
    }
}

fn data(data: &mut Section<'_>) -> Data {
    let any = || bytes(0)..=bytes(1 << 60);
    Data {
        dir: data.value("dir", PathBuf::from("./sequor-data")),
        checkpoint_interval: data.within(
            "checkpoint_interval",
            Duration::from_millis(100)..=secs(DAY),
            secs(10),
        ),
        state_memory: data.optional_within("state_memory", bytes(KIB)..=bytes(1 << 60)),
        retain_bytes: data.within("retain_bytes", any(), bytes(10 * GIB)),
        retain_time: data.within("retain_time", secs(0)..=secs(3_650 * DAY), secs(7 * DAY)),
        segment_size: data.within("segment_size", bytes(4 * KIB)..=bytes(4 * GIB), bytes(64 * MIB)),
        matches_retain_bytes: data.within("matches_retain_bytes", any(), bytes(GIB)),
        rejected_retain_bytes: data.within("rejected_retain_bytes", any(), bytes(256 * MIB)),
        audit_retain_bytes: data.within("audit_retain_bytes", bytes(64 * KIB)..=bytes(GIB), bytes(64 * MIB)),
        idempotency_keys: data.within("idempotency_keys", 0..=100_000_000, 100_000),
    }
}

fn engine(engine: &mut Section<'_>) -> Engine {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get()).min(256);
    Engine {
        threads: engine.within("threads", 1..=256, processors),
        batch_size: engine.within("batch_size", 1..=1_000_000, 4_096),
        max_buffered_events: engine.within("max_buffered_events", 1..=1_000_000_000, 1_000_000),
        max_patterns: engine.within("max_patterns", 1..=10_000_000, 100_000),
    }
}

fn limits(limits: &mut Section<'_>) -> Limits {
    Limits {
        max_partial_matches_per_key: limits.within("max_partial_matches_per_key", 1..=u64::MAX, 100_000),
        max_retained_events_per_key: limits.optional_within("max_retained_events_per_key", 1..=u64::MAX),
        max_retained_bytes_per_key: limits
            .optional_within("max_retained_bytes_per_key", bytes(1)..=bytes(u64::MAX)),
        max_partial_matches: limits.optional_within("max_partial_matches", 1..=u64::MAX),
        max_retained_bytes: limits.optional_within("max_retained_bytes", bytes(1)..=bytes(u64::MAX)),
        max_matches_per_event: limits.within("max_matches_per_event", 1..=u64::MAX, 100_000),
        policy: limits.value("policy", LimitPolicy::Suspend),
    }
}

/// The first stream, or the only one where none is named, has a default name.
fn streams(root: &mut Section<'_>) -> Vec<Stream> {
    let first = |table: &mut Section<'_>| {
        let Name(name) = table.value("name", Name(DEFAULT_STREAM.to_owned()));
        stream(table, name)
    };
    let streams = root.list("streams", |index, table| match index {
        0 => Some(first(table)),
        _ => {
            let name = table.required::<Name>("name");
            let stream = stream(table, String::new());
            name.map(|Name(name)| Stream { name, ..stream })
        }
    });
    if streams.is_empty() { vec![root.absent("streams.0", first)] } else { streams }
}

fn stream(stream: &mut Section<'_>, name: String) -> Stream {
    let field = |Field(field)| field;
    let source = stream.section("source", |source| source.value("type", SourceKind::Http));
    let time_field = field(stream.value("time_field", Field("ts".to_owned())));
    let type_field = field(stream.value("type_field", Field("type".to_owned())));
    let out_of_orderness = stream.within("out_of_orderness", TimeSpan(0)..=SPAN_MAX, TimeSpan(5_000));
    let idle = Duration::from_millis(out_of_orderness.0.unsigned_abs()) + secs(1);
    Stream {
        name,
        source,
        time_field,
        type_field,
        out_of_orderness,
        idle_timeout: stream.within("idle_timeout", Duration::from_millis(1)..=secs(3_651 * DAY), idle),
        silence: stream.value("silence", Silence::Flush),
        max_time_jump: stream.optional_within("max_time_jump", TimeSpan(1)..=SPAN_MAX),
        late: stream.value("late", LatePolicy::Output),
        duplicates: stream.table("duplicates", |duplicates| {
            let (id, window) =
                (duplicates.required("id"), duplicates.required_within("window", TimeSpan(1)..=SPAN_MAX));
            let max_ids = duplicates.within("max_ids", 1..=100_000_000, 1_000_000);
            Some(Duplicates { id: field(id?), window: window?, max_ids })
        }),
    }
}

fn sink(sink: &mut Section<'_>) -> Option<Sink> {
    let name = sink.required::<Name>("name").map(|Name(name)| name);
    let kind = sink.required("type");
    let what = sink.value("what", SinkInput::Matches);
    let patterns: Option<Vec<_>> = sink.optional("patterns");
    if what != SinkInput::Matches && patterns.is_some() {
        let way_out = "leave `patterns` out: only matches belong to patterns";
        sink.fault(code::CONFLICT, "patterns", "says nothing where `what` is not `matches`", way_out);
    }
    let target = match kind {
        Some(SinkKind::File) => file(sink).map(Target::File),
        Some(SinkKind::Webhook) => webhook(sink).map(Target::Webhook),
        None => {
            sink.forget();
            None
        }
    };
    Some(Sink { name: name?, what, patterns: patterns.unwrap_or_default(), target: target? })
}

fn file(sink: &mut Section<'_>) -> Option<FileTarget> {
    let path = sink.required("path");
    let rotate_bytes = sink.optional_within("rotate_bytes", bytes(KIB)..=bytes(1 << 60));
    let keep = sink.optional_within("keep", 0..=1_000_000);
    if keep.is_some() && rotate_bytes.is_none() {
        sink.fault(
            code::CONFLICT,
            "keep",
            "says nothing without `rotate_bytes`",
            "add `rotate_bytes`, or leave `keep` out",
        );
    }
    Some(FileTarget { path: path?, rotate_bytes, keep })
}

fn webhook(sink: &mut Section<'_>) -> Option<WebhookTarget> {
    let url = sink.required::<Url>("url").map(|Url(url)| url);
    let webhook = WebhookTarget {
        url: String::new(),
        secret: sink.secret("secret"),
        timeout: sink.within("timeout", Duration::from_millis(100)..=secs(10 * MINUTE), secs(10)),
        max_attempts: sink.within("max_attempts", 1..=1_000, 10),
        allow: sink.value("allow", Vec::new()),
    };
    Some(WebhookTarget { url: url?, ..webhook })
}

/// Refuses to be reached by others without authentication and TLS.
fn refuse_exposure(found: &mut Found, settings: &Settings) {
    let Settings { server, auth, .. } = settings;
    if server.allow_insecure || server.listen.ip().is_loopback() || (auth.enabled && server.tls.is_some()) {
        return;
    }
    let missing = match (auth.enabled, &server.tls) {
        (true, _) => "TLS",
        (false, Some(_)) => "authentication",
        (false, None) => "authentication and TLS",
    };
    let message = format!("`server.listen` is {}, which others can reach, without {missing}", server.listen);
    let help = "set `server.tls` and leave `auth.enabled` true, listen on 127.0.0.1, or set \
                `server.allow_insecure = true` where something in front sees to both";
    found.faults.push(Fault::new(code::INSECURE, found.place("server.listen"), message).help(help));
}

/// Refuses two streams or sinks of one name, and two sinks that write to one file.
fn refuse_namesakes(found: &mut Found, settings: &Settings) {
    let streams = settings.streams.iter().enumerate().map(|(i, s)| (format!("streams.{i}.name"), &s.name));
    let sinks = settings.sinks.iter().enumerate().map(|(i, s)| (format!("sinks.{i}.name"), &s.name));
    let names: Vec<(String, &String)> = streams.chain(sinks).collect();
    refuse_twice(found, &names, "name");
    let paths = settings.sinks.iter().enumerate().filter_map(|(i, sink)| match &sink.target {
        Target::File(file) => Some((format!("sinks.{i}.path"), &file.path)),
        Target::Webhook(_) => None,
    });
    let paths: Vec<(String, &PathBuf)> = paths.collect();
    refuse_twice(found, &paths, "file");
}

fn refuse_twice<T: PartialEq>(found: &mut Found, values: &[(String, T)], what: &str) {
    for (i, (key, value)) in values.iter().enumerate() {
        let Some((first, _)) = values[..i].iter().find(|(_, other)| other == value) else { continue };
        let message = format!("`{key}` is the same {what} as `{first}`");
        let mut fault = Fault::new(code::TWICE, found.place(key), message);
        fault.related = found.place(first).map(|place| (place, "it is first here".to_owned()));
        found.faults.push(fault);
    }
}

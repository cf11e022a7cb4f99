//! Metrics for Prometheus: what the service counts, and how it stands when it is asked. No label grows with the data.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::Api;
use super::auth::wall_clock;
use super::problem::Problem;
use crate::event::Timestamp;
use crate::journal::Tail;
use crate::pipeline::live::{Dropped, Handle, StreamStatus};

/// What Prometheus calls the format.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics, and those of them that requests count.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter<u64, AtomicU64>>,
}

/// What is known of a request that was answered. Routes are the templates, and there are few of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

impl Metrics {
    pub(super) fn new(live: Handle, sse_clients: Arc<Semaphore>, sse_clients_max: usize) -> Metrics {
        let mut registry = Registry::with_prefix("sequor");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        let requests = Family::default();
        registry.register("http_requests", "Requests by route and status", requests.clone());
        registry.register_collector(Box::new(Standing { live, sse_clients, sse_clients_max }));
        Metrics { registry, requests }
    }
}

/// What is counted, and how everything stands, for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn get(State(api): State<Api>) -> Result<Response, Problem> {
    let mut out = String::new();
    text::encode(&mut out, &api.0.metrics.registry).map_err(Problem::defect)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], out).into_response())
}

/// Counts requests.
pub(super) async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    };
    let response = next.run(request).await;
    let answered = Answered { method, route, status: response.status().as_u16() };
    api.0.metrics.requests.get_or_create(&answered).inc();
    response
}

/// What is looked up when it is asked for.
#[derive(Clone)]
struct Standing {
    live: Handle,
    sse_clients: Arc<Semaphore>,
    sse_clients_max: usize,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}

/// Writes metrics that have one label at most.
struct Writer<'a>(DescriptorEncoder<'a>);

/// Values by the value of the label.
type Labelled<'a, V> = Vec<(&'a str, V)>;

impl Writer<'_> {
    fn counter(&mut self, name: &str, help: &str, label: &str, values: Labelled<'_, u64>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            family.encode_family(&[(label, of)])?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, label: &str, values: Labelled<'_, f64>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            family.encode_family(&[(label, of)])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn single(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }
}

impl Collector for Standing {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (live, status) = (&self.live, self.live.status());
        let mut out = Writer(encoder);
        let streams = || status.streams.iter().map(|(name, stream)| (name.as_str(), stream));
        let counts =
            |of: fn(&StreamStatus) -> u64| streams().map(|(name, stream)| (name, of(stream))).collect();
        out.counter("source_events", "Events taken since the start", "stream", counts(|s| s.events))?;
        out.counter("late_events", "Late events since the start", "stream", counts(|s| s.late))?;
        let duplicates = counts(|s| s.duplicates);
        let help = "Events that had come before, since the start";
        out.counter("duplicate_events", help, "stream", duplicates)?;
        let dead = counts(|s| s.dead_letters);
        out.counter("dead_letters", "Lines that were no events, since the start", "stream", dead)?;
        let lag = streams().map(|(name, stream)| {
            let durable = live.events(name).map_or(0, Tail::next);
            (name, durable.saturating_sub(stream.taken) as f64)
        });
        out.gauge("source_lag_records", "Durable lines that have not been taken", "stream", lag.collect())?;
        let seconds = |time: Timestamp| time.0 as f64 / 1000.0;
        let now = seconds(Timestamp(wall_clock()));
        let marks = || streams().filter_map(|(name, stream)| Some((name, seconds(stream.watermark?))));
        out.gauge("watermark_timestamp_seconds", "The watermark", "stream", marks().collect())?;
        let behind = marks().map(|(name, mark)| (name, now - mark)).collect();
        out.gauge("watermark_lag_seconds", "How far the watermark is behind the clock", "stream", behind)?;
        let idle = streams().filter(|(_, stream)| stream.is_idle).count();
        out.single("idle_partitions", "Partitions that nobody waits for", idle as f64)?;
        out.single("waiting_events", "Events that wait for the watermark", status.waiting as f64)?;
        out.single("patterns", "Patterns that are there", status.registry.len() as f64)?;
        let dropped = |of: fn(&Dropped) -> u64| status.dropped.values().map(of).sum::<u64>();
        let excess = vec![
            ("partial_matches_dropped", dropped(|d| d.partial_matches)),
            ("matches_dropped", dropped(|d| d.matches)),
            ("suspensions", dropped(|d| d.suspensions)),
        ];
        out.counter("budget_excess", "What patterns beyond budgets cost, since the start", "what", excess)?;
        let queued = vec![("events", live.queued_bytes() as f64)];
        out.gauge("queue_bytes", "What waits to be written", "queue", queued)?;
        let logs = [("matches", live.matches()), ("rejected", live.rejected()), ("control", live.control())];
        let names: Vec<String> = live.streams().map(|name| format!("streams/{name}")).collect();
        let events =
            names.iter().zip(live.streams()).filter_map(|(name, of)| Some((name.as_str(), live.events(of)?)));
        let bytes = logs.into_iter().chain(events).map(|(name, log)| (name, log.bytes() as f64)).collect();
        out.gauge("journal_bytes", "The size of a log", "journal", bytes)?;
        let help = "Matches and timeouts, since the data directory was made";
        out.0
            .encode_descriptor("matches", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&live.matches().next(), None)?;
        let open = self.sse_clients_max.saturating_sub(self.sse_clients.available_permits());
        out.single("sse_clients", "Streams of matches that are open", open as f64)?;
        let failed = f64::from(u8::from(status.failure.is_some()));
        out.single("pipeline_failed", "1 where the pipeline does not go on", failed)
    }
}

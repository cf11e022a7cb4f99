//! What the service tells on standard error, and the traces that it sends.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::telemetry::Telemetry;
use crate::config::settings::{Log, LogFormat, LogLevel, Otlp};

/// Begins to log: lines for people on a terminal, JSON elsewhere, unless the settings say otherwise. Traces are sent as
/// long as what is returned is there.
pub(super) fn start(log: &Log, otlp: &Otlp) -> Result<Telemetry, String> {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let for_people = match log.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match for_people {
        true => Box::new(lines),
        false => Box::new(lines.json().flatten_event(true)),
    };
    // Spans are for traces, lines are for events.
    let lines = lines.with_filter(filter_fn(|metadata| metadata.is_event())).with_filter(level);
    let telemetry = Telemetry::new(otlp)?;
    let spans = telemetry.tracer().map(|tracer| {
        let spans =
            tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
        spans.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("sequor")))
    });
    tracing_subscriber::registry().with(lines).with(spans).init();
    Ok(telemetry)
}

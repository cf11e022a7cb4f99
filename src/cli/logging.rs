//! What the service tells on standard error.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;

use crate::config::settings::{Log, LogFormat, LogLevel};

/// Begins to log: lines for people on a terminal, JSON elsewhere, unless the settings say otherwise.
pub(super) fn start(log: &Log) {
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
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).with_target(false);
    if for_people {
        lines.init();
    } else {
        lines.json().flatten_event(true).init();
    }
}

//! `sequor serve`: the live service.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use tracing::{info, warn};

use super::config::SettingsArgs;
use super::load::Color;
use super::{IO, fail, logging};
use crate::api;
use crate::config::settings::{self, LatePolicy, Settings};
use crate::pipeline::decision::StreamDeclaration;
use crate::pipeline::live::{Handle, Live, Options, Silence, StreamOptions};

/// The arguments of `sequor serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Runs the service until it is told to stop.
pub fn run(args: ServeArgs) -> ExitCode {
    let settings = match args.settings.load(Color::Auto) {
        Ok(loaded) => loaded.settings,
        Err(status) => return status,
    };
    logging::start(&settings.log);
    let live = match Live::start(options(&settings)) {
        Ok(live) => live,
        Err(error) => return fail(IO, error.to_string()),
    };
    for (name, opened) in &live.opened {
        if opened.cut_bytes > 0 {
            warn!(log = name, bytes = opened.cut_bytes, "a write that was never confirmed was cut off");
        }
    }
    let served = serve(&settings, &live);
    let stopped = live.stop();
    if let Err(error) = served {
        return fail(IO, format!("cannot serve on {}: {error}", settings.server.listen));
    }
    match stopped {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(failure) => fail(IO, failure.to_string()),
    }
}

fn serve(settings: &Settings, live: &Live) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let limits = api::Limits {
        body_bytes: settings.server.max_body.0 as usize,
        line_bytes: settings.server.max_line.0 as usize,
        pattern_bytes: settings.server.max_pattern_text.0 as usize,
        sse_clients: settings.server.max_sse_clients,
    };
    let router = api::router(live.handle().clone(), limits);
    let done = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(settings.server.listen).await?;
        let address = listener.local_addr()?;
        let mut out = io::stdout();
        writeln!(out, "listening on http://{address}")?;
        out.flush()?;
        axum::serve(listener, router).with_graceful_shutdown(told_to_stop(live.handle().clone())).await
    });
    runtime.shutdown_background();
    done
}

fn options(settings: &Settings) -> Options {
    Options {
        dir: settings.data.dir.clone(),
        streams: settings.streams.iter().map(stream).collect(),
        threads: settings.engine.threads,
        batch_size: settings.engine.batch_size,
        max_buffered_events: settings.engine.max_buffered_events,
        max_patterns: settings.engine.max_patterns,
        segment_bytes: settings.data.segment_size.0,
        idempotency_keys: settings.data.idempotency_keys,
        retain_bytes: settings.data.retain_bytes.0,
        retain_time: settings.data.retain_time,
    }
}

fn stream(settings: &settings::Stream) -> StreamOptions {
    StreamOptions {
        name: settings.name.clone(),
        declaration: StreamDeclaration {
            time_field: settings.time_field.clone(),
            type_field: settings.type_field.clone(),
            out_of_orderness: settings.out_of_orderness,
            max_time_jump: settings.max_time_jump,
            flushes: settings.silence == settings::Silence::Flush,
        },
        idle_timeout: settings.idle_timeout,
        silence: match settings.silence {
            settings::Silence::Flush => Silence::Flush,
            settings::Silence::Hold => Silence::Hold,
            settings::Silence::Clock => Silence::Clock,
        },
        keeps_late: settings.late == LatePolicy::Output,
    }
}

/// Waits for Ctrl-C or SIGTERM, or until the service cannot go on.
async fn told_to_stop(live: Handle) {
    let interrupted = tokio::signal::ctrl_c();
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupted => {}
        () = terminated => {}
        () = live.ended() => {}
    }
    live.leave();
}

//! `sequor serve`: the live service.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::config::SettingsArgs;
use super::load::Color;
use super::{IO, fail, logging, token};
use crate::api::auth::{Guard, Tokens};
use crate::api::server;
use crate::api::tls::Certificate;
use crate::api::{self, Audit};
use crate::config::settings::{self, LatePolicy, LimitPolicy, Settings, Target, WebhookTarget};
use crate::pipeline::decision::{BudgetPolicy, Budgets, Duplicates, StreamDeclaration};
use crate::pipeline::live::{Handle, Live, Options, Silence, SinkOptions, StreamOptions};

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
    let _telemetry = match logging::start(&settings.log, &settings.otlp) {
        Ok(telemetry) => telemetry,
        Err(why) => return fail(IO, why),
    };
    let options = match options(&settings) {
        Ok(options) => options,
        Err(why) => return fail(IO, why),
    };
    let live = match Live::start(options) {
        Ok(live) => live,
        Err(error) => return fail(IO, error.to_string()),
    };
    for (name, opened) in &live.opened {
        if opened.cut_bytes > 0 {
            warn!(log = name, bytes = opened.cut_bytes, "a write that was never confirmed was cut off");
        }
    }
    let audit = match Audit::open(&settings.data.dir, settings.data.audit_retain_bytes.0) {
        Ok(audit) => Arc::new(audit),
        Err(error) => return fail(IO, format!("the audit log: {error}")),
    };
    let served = serve(&settings, &live, Arc::clone(&audit));
    audit.flush();
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

fn serve(settings: &Settings, live: &Live, audit: Arc<Audit>) -> io::Result<()> {
    let certificate = match &settings.server.tls {
        Some(tls) => {
            let read = Certificate::read(tls.cert.clone(), tls.key.clone()).map_err(io::Error::other)?;
            Some(Arc::new(read))
        }
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let limits = api::Limits {
        body_bytes: settings.server.max_body.0 as usize,
        line_bytes: settings.server.max_line.0 as usize,
        pattern_bytes: settings.server.max_pattern_text.0 as usize,
        sse_clients: settings.server.max_sse_clients,
        request_time: settings.server.request_timeout,
    };
    let guard = Guard {
        tokens: settings.auth.enabled.then(|| Tokens::of(token::file(settings))),
        own_host_only: !settings.auth.enabled && settings.server.listen.ip().is_loopback(),
    };
    if let Some(why) = guard.tokens.as_ref().and_then(Tokens::problem) {
        warn!(reason = why, "nobody is let in");
    }
    let router = api::router(live.handle().clone(), limits, guard, audit);
    let done = runtime.block_on(async {
        // Whoever reads that it listens may ask it to stop at once.
        let told = told_to_stop(live.handle().clone())?;
        // Or to read its certificate again.
        let certificate = certificate.map(|read| Ok::<_, io::Error>((read, signal(SignalKind::hangup())?)));
        let certificate = certificate.transpose()?;
        let listener = tokio::net::TcpListener::bind(settings.server.listen).await?;
        let address = listener.local_addr()?;
        let mut out = io::stdout();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        writeln!(out, "listening on {scheme}://{address}")?;
        out.flush()?;
        server::serve(listener, router, certificate, settings.server.max_connections, told).await;
        Ok(())
    });
    runtime.shutdown_background();
    done
}

fn options(settings: &Settings) -> Result<Options, String> {
    Ok(Options {
        dir: settings.data.dir.clone(),
        streams: settings.streams.iter().map(stream).collect(),
        threads: settings.engine.threads,
        batch_size: settings.engine.batch_size,
        max_buffered_events: settings.engine.max_buffered_events,
        max_patterns: settings.engine.max_patterns,
        limits: limits(&settings.limits),
        segment_bytes: settings.data.segment_size.0,
        idempotency_keys: settings.data.idempotency_keys,
        retain_bytes: settings.data.retain_bytes.0,
        retain_time: settings.data.retain_time,
        matches_retain_bytes: settings.data.matches_retain_bytes.0,
        rejected_retain_bytes: settings.data.rejected_retain_bytes.0,
        checkpoint_interval: Some(settings.data.checkpoint_interval),
        state_memory: settings.data.state_memory.map(|size| size.0),
        sinks: settings.sinks.iter().map(sink).collect::<Result<_, _>>()?,
    })
}

/// The budgets of patterns that have none of their own.
fn limits(limits: &settings::Limits) -> Budgets {
    Budgets {
        max_partial_matches_per_key: NonZeroU64::new(limits.max_partial_matches_per_key),
        max_retained_events_per_key: limits.max_retained_events_per_key.and_then(NonZeroU64::new),
        max_retained_bytes_per_key: limits
            .max_retained_bytes_per_key
            .and_then(|size| NonZeroU64::new(size.0)),
        max_partial_matches: limits.max_partial_matches.and_then(NonZeroU64::new),
        max_retained_bytes: limits.max_retained_bytes.and_then(|size| NonZeroU64::new(size.0)),
        max_matches_per_event: NonZeroU64::new(limits.max_matches_per_event),
        policy: Some(match limits.policy {
            LimitPolicy::Suspend => BudgetPolicy::Suspend,
            LimitPolicy::DropOldest => BudgetPolicy::DropOldest,
        }),
    }
}

/// A sink with its secret, if that can be read.
fn sink(sink: &settings::Sink) -> Result<SinkOptions, String> {
    let secret = match &sink.target {
        Target::Webhook(WebhookTarget { secret: Some(source), .. }) => {
            Some(source.resolve(|name| std::env::var(name).ok())?)
        }
        _ => None,
    };
    Ok(SinkOptions { sink: sink.clone(), secret })
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
            duplicates: settings.duplicates.as_ref().map(|duplicates| Duplicates {
                id: duplicates.id.clone(),
                window: duplicates.window,
                max_ids: duplicates.max_ids,
            }),
            keeps_late: settings.late == LatePolicy::Output,
        },
        idle_timeout: settings.idle_timeout,
        silence: match settings.silence {
            settings::Silence::Flush => Silence::Flush,
            settings::Silence::Hold => Silence::Hold,
            settings::Silence::Clock => Silence::Clock,
        },
    }
}

/// Waits for Ctrl-C or SIGTERM, or until the service cannot go on. From the call on, the signals no longer kill.
fn told_to_stop(live: Handle) -> io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            () = live.ended() => {}
        }
        live.leave();
    })
}

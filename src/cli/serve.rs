//! `sequor serve`: the live service.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::{IO, fail, say};
use crate::api;
use crate::event::TimeSpan;
use crate::pipeline::decision::StreamDeclaration;
use crate::pipeline::live::{Live, Options, Silence, StreamOptions};

/// The arguments of `sequor serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The address to listen on; with port 0 a free one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7878")]
    listen: SocketAddr,
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "sequor-data")]
    data: PathBuf,
}

/// Runs the service until it is told to stop.
pub fn run(args: ServeArgs) -> ExitCode {
    let bound = TimeSpan(5_000);
    let stream = StreamOptions {
        name: "events".to_owned(),
        declaration: StreamDeclaration {
            time_field: "ts".to_owned(),
            type_field: "type".to_owned(),
            out_of_orderness: bound,
            max_time_jump: None,
            flushes: true,
        },
        idle_timeout: Duration::from_secs(6),
        silence: Silence::Flush,
        keeps_late: true,
    };
    let options = Options {
        dir: args.data.clone(),
        streams: vec![stream],
        threads: thread::available_parallelism().map_or(1, usize::from),
        batch_size: 4096,
        max_buffered_events: 1_000_000,
        max_patterns: 100_000,
        segment_bytes: 64 << 20,
    };
    let live = match Live::start(options) {
        Ok(live) => live,
        Err(error) => return fail(IO, error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(IO, format!("cannot start the server: {error}")),
    };
    let router =
        api::router(live.handle().clone(), api::Limits { body_bytes: 64 << 20, pattern_bytes: 1 << 20 });
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await?;
        let mut out = std::io::stdout();
        writeln!(out, "listening on http://{}", listener.local_addr()?)?;
        out.flush()?;
        axum::serve(listener, router).with_graceful_shutdown(told_to_stop()).await
    });
    drop(runtime);
    let stopped = live.stop();
    if let Err(error) = served {
        return fail(IO, format!("cannot serve on {}: {error}", args.listen));
    }
    match stopped {
        Ok(()) => {
            say("sequor: stopped");
            ExitCode::SUCCESS
        }
        Err(failure) => fail(IO, failure.to_string()),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_stop() {
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
    }
}

//! HTTP: one file per resource. Everything answers JSON; what goes wrong is a problem document.

mod body;
mod dead_letters;
mod events;
mod health;
mod matches;
mod metrics;
mod page;
mod patterns;
mod problem;
mod streams;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use self::metrics::Metrics;
use crate::pipeline::live::Handle;

/// Bodies of events that are unpacked and decoded at once.
const INTAKES_MAX: usize = 16;

/// What routes need.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    live: Handle,
    limits: Limits,
    /// Bodies of events that are unpacked and decoded at once.
    intakes: Semaphore,
    sse_clients: Arc<Semaphore>,
    metrics: Metrics,
}

/// How much a request may bring.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest body, after decompression, in bytes.
    pub body_bytes: usize,
    /// The longest line of a body of events, in bytes.
    pub line_bytes: usize,
    /// The longest pattern text, in bytes.
    pub pattern_bytes: usize,
    /// Streams of matches that may be open at once.
    pub sse_clients: usize,
}

/// The routes over a running service.
pub fn router(live: Handle, limits: Limits) -> Router {
    let bytes = limits.body_bytes;
    let sse_clients = Arc::new(Semaphore::new(limits.sse_clients));
    let metrics = Metrics::new(live.clone(), Arc::clone(&sse_clients), limits.sse_clients);
    let intakes = Semaphore::new(INTAKES_MAX);
    let api = Api(Arc::new(Inner { live, limits, intakes, sse_clients, metrics }));
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::get))
        .route("/v1/streams", get(streams::list))
        .route("/v1/streams/{stream}", get(streams::get))
        .route("/v1/streams/{stream}/events", post(events::post))
        .route("/v1/streams/{stream}/watermark", post(streams::watermark))
        .route("/v1/patterns", get(patterns::list).post(patterns::create))
        .route("/v1/patterns/{name}", get(patterns::get).put(patterns::put).delete(patterns::delete))
        .route("/v1/matches", get(matches::list))
        .route("/v1/matches/stream", get(matches::follow))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/{sequence}/redrive", post(dead_letters::redrive))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(axum::middleware::from_fn_with_state(api.clone(), metrics::count))
        .layer(axum::extract::DefaultBodyLimit::max(bytes))
        .with_state(api)
}

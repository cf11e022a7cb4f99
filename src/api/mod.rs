//! HTTP: one file per resource. Everything answers JSON; what goes wrong is a problem document.

mod around;
mod audit;
pub mod auth;
mod backup;
mod body;
mod control_log;
mod dead_letters;
mod edge;
mod events;
mod extract;
mod health;
mod inside;
mod matches;
mod metrics;
pub mod openapi;
mod page;
mod patterns;
mod problem;
pub mod server;
mod sinks;
mod streams;
pub mod tls;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::pipeline::live::Handle;
pub use audit::Audit;
use auth::Guard;
use metrics::Metrics;

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
    audit: Arc<Audit>,
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
    /// How long a request may take until its answer begins.
    pub request_time: Duration,
}

/// The routes over a running service.
pub fn router(live: Handle, limits: Limits, guard: Guard, audit: Arc<Audit>) -> Router {
    let (bytes, time) = (limits.body_bytes, limits.request_time);
    let sse_clients = Arc::new(Semaphore::new(limits.sse_clients));
    let metrics = Metrics::new(live.clone(), Arc::clone(&sse_clients), limits.sse_clients);
    let intakes = Semaphore::new(INTAKES_MAX);
    let audited = Arc::clone(&audit);
    let api = Api(Arc::new(Inner { live, limits, intakes, sse_clients, metrics, audit: audited }));
    let (router, _) = routes().split_for_parts();
    router
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(axum::extract::DefaultBodyLimit::max(bytes))
        .layer(from_fn_with_state(time, edge::in_time))
        .layer(from_fn_with_state(Arc::new(guard), auth::guard))
        .layer(from_fn(edge::headers))
        .layer(from_fn_with_state(api.clone(), metrics::count))
        .layer(from_fn(around::around))
        .layer(from_fn_with_state(audit, audit::audit))
        .with_state(api)
}

/// All routes, each with its description. A route that is added in any other way is missing from `openapi.yaml`.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::get))
        .routes(routes!(streams::list))
        .routes(routes!(streams::get))
        .routes(routes!(events::post))
        .routes(routes!(streams::watermark))
        .merge(patterns::routes())
        .merge(inside::routes())
        .routes(routes!(matches::list))
        .routes(routes!(matches::follow))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(control_log::get))
        .routes(routes!(sinks::list))
        .routes(routes!(audit::list))
        .routes(routes!(backup::savepoint))
        .routes(routes!(backup::backup))
}

//! HTTP: one file per resource. Everything answers JSON; what goes wrong is a problem document.

pub mod auth;
mod control_log;
mod edge;
mod events;
mod health;
mod matches;
mod patterns;
mod problem;
pub mod server;
mod sinks;
mod streams;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::pipeline::live::Handle;
use auth::Guard;

/// What routes need.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    live: Handle,
    limits: Limits,
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
    /// How long a request may take until its answer begins.
    pub request_time: Duration,
}

/// The routes over a running service.
pub fn router(live: Handle, limits: Limits, guard: Guard) -> Router {
    let (bytes, time) = (limits.body_bytes, limits.request_time);
    let api = Api(Arc::new(Inner { live, limits }));
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/v1/streams", get(streams::list))
        .route("/v1/streams/{stream}/events", post(events::post))
        .route("/v1/streams/{stream}/watermark", post(streams::watermark))
        .route("/v1/patterns", get(patterns::list).post(patterns::create))
        .route("/v1/patterns/{name}", get(patterns::get).put(patterns::put).delete(patterns::delete))
        .route("/v1/control-log", get(control_log::get))
        .route("/v1/matches", get(matches::list))
        .route("/v1/sinks", get(sinks::list))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(axum::extract::DefaultBodyLimit::max(bytes))
        .layer(from_fn_with_state(time, edge::in_time))
        .layer(from_fn_with_state(Arc::new(guard), auth::guard))
        .layer(from_fn(edge::headers))
        .with_state(api)
}

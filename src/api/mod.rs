//! HTTP: one file per resource. Everything answers JSON; what goes wrong is a problem document.

mod around;
mod audit;
pub mod auth;
mod backup;
mod control_log;
mod edge;
mod events;
mod extract;
mod health;
mod matches;
pub mod openapi;
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
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::pipeline::live::Handle;
pub use audit::Audit;
use auth::Guard;

/// What routes need.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    live: Handle,
    limits: Limits,
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
    /// How long a request may take until its answer begins.
    pub request_time: Duration,
}

/// The routes over a running service.
pub fn router(live: Handle, limits: Limits, guard: Guard, audit: Arc<Audit>) -> Router {
    let (bytes, time) = (limits.body_bytes, limits.request_time);
    let api = Api(Arc::new(Inner { live, limits, audit: Arc::clone(&audit) }));
    let (router, _) = routes().split_for_parts();
    router
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(axum::extract::DefaultBodyLimit::max(bytes))
        .layer(from_fn_with_state(time, edge::in_time))
        .layer(from_fn_with_state(Arc::new(guard), auth::guard))
        .layer(from_fn(edge::headers))
        .layer(from_fn(around::around))
        .layer(from_fn_with_state(audit, audit::audit))
        .with_state(api)
}

/// All routes, each with its description. A route that is added in any other way is missing from `openapi.yaml`.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(streams::list))
        .routes(routes!(events::post))
        .routes(routes!(streams::watermark))
        .merge(patterns::routes())
        .routes(routes!(matches::list))
        .routes(routes!(control_log::get))
        .routes(routes!(sinks::list))
        .routes(routes!(audit::list))
        .routes(routes!(backup::savepoint))
        .routes(routes!(backup::backup))
}

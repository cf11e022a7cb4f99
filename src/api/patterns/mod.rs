//! Patterns: put, looked at, and removed while events pass.

mod change;
mod graph;
mod input;
mod look;
mod model;
mod precondition;

use axum::extract::State;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use crate::pipeline::live::{Decided, Refusal, Wish};

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(look::list, change::create))
        .routes(routes!(change::apply))
        .routes(routes!(change::check))
        .routes(routes!(look::get, change::put, change::patch, change::delete))
        .routes(routes!(look::versions))
        .routes(routes!(look::version))
        .routes(routes!(graph::graph))
}

/// Asks the owner, and waits for what it says.
async fn decided(State(api): &State<Api>, wish: Wish) -> Result<Decided, Refusal> {
    let (reply, answer) = oneshot::channel();
    api.0.live.change(wish, move |result| _ = reply.send(result));
    answer.await.unwrap_or(Err(Refusal::Stopping))
}

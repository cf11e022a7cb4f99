//! Patterns: put, looked at, and removed while events pass.

mod change;
mod graph;
mod input;
mod look;
mod model;
mod precondition;

use axum::extract::State;
use serde_json::json;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, audit};
use crate::pipeline::live::{ChangeRequest, Decided, Outcome, Refusal, Wish};

/// How many patterns the audit names of one request.
const TOLD_MAX: usize = 100;

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

/// Tells the audit which patterns are to be changed.
fn says_wish(changes: &[ChangeRequest], dry_run: bool) {
    let named: Vec<_> = changes.iter().take(TOLD_MAX).map(ChangeRequest::name).collect();
    audit::says(json!({ "dry_run": dry_run, "count": changes.len(), "patterns": named }));
}

/// Tells the audit which patterns have been changed.
fn says_decided(decided: &Decided, dry_run: bool) {
    let told = |Outcome { name, version, action }: &Outcome| json!({ "name": name, "version": version, "action": action });
    let outcomes: Vec<_> = decided.outcomes.iter().take(TOLD_MAX).map(told).collect();
    audit::says(json!({
        "dry_run": dry_run,
        "effective_from": decided.effective_from,
        "count": decided.outcomes.len(),
        "patterns": outcomes,
    }));
}

/// Asks the owner, and waits for what it says.
async fn decided(State(api): &State<Api>, wish: Wish) -> Result<Decided, Refusal> {
    let (reply, answer) = oneshot::channel();
    let dry_run = wish.dry_run;
    api.0.live.change(wish, move |result| _ = reply.send(result));
    let decided = answer.await.unwrap_or(Err(Refusal::Stopping))?;
    says_decided(&decided, dry_run);
    Ok(decided)
}

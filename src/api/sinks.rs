//! Sinks: how each of them stands.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Api;
use crate::pipeline::live::SinkStatus;

/// Lists the sinks, and how each stands
#[utoipa::path(
    get,
    path = "/v1/sinks",
    tag = "sinks",
    responses(
        (status = 200, body = Object)
    )
)]
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let shown = |sink: SinkStatus| {
        json!({
            "name": sink.name,
            "type": sink.kind,
            "delivered": sink.delivered,
            "undelivered": sink.undelivered,
            "behind": sink.behind,
            "last_error": sink.last_error,
            "retrying_since": sink.retrying_since,
            "holds_up": sink.holds_up,
        })
    };
    let items: Vec<Value> = api.0.live.sinks().into_iter().map(shown).collect();
    Json(json!({ "items": items, "next": null }))
}

//! Whether the service is there, and whether it takes work.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::extract::Parameters;
use super::problem::Problem;

/// The longest time in which the pipeline has to have turned.
const TURN_MAX: Duration = Duration::from_secs(10);

/// How much is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// A line for each thing that has to hold.
    verbose: Option<String>,
}

/// Whether the service is there
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Each of the things that have to hold, with what is wrong where one does not.
fn checks(api: &Api) -> [(&'static str, Option<String>); 4] {
    let live = &api.0.live;
    let since = live.since_turn();
    let stuck = (since > TURN_MAX).then(|| format!("it has not turned for {} s", since.as_secs()));
    let leaving = live.is_leaving().then(|| "the service is about to stop".to_owned());
    let failure = live.status().failure.clone();
    [("pipeline", failure), ("storage", live.unwritable()), ("turning", stuck), ("staying", leaving)]
}

/// Whether the service takes work
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    params(Wanted),
    responses(
        (status = 200, body = String),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn ready(
    State(api): State<Api>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<String, Problem> {
    let checks = checks(&api);
    if let Some((name, why)) = checks.iter().find_map(|(name, why)| Some((name, why.as_ref()?))) {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, name, why.clone()));
    }
    let mut text = String::new();
    if wanted.verbose.is_some() {
        for (name, _) in checks {
            let _ = writeln!(text, "{name}: ok");
        }
    }
    text.push_str("ok\n");
    Ok(text)
}

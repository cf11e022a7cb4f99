//! Whether the service is there, and whether it takes work.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Api;
use super::problem::Problem;

/// The longest time in which the pipeline has to have turned.
const TURN_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    verbose: Option<String>,
}

pub(super) async fn live(State(api): State<Api>) -> Result<&'static str, Problem> {
    let since = api.0.live.since_turn();
    if since > TURN_MAX {
        let detail = format!("the pipeline has not turned for {} s", since.as_secs());
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", detail));
    }
    Ok("ok\n")
}

/// Each of the things that have to hold, with what is wrong where one does not.
fn checks(api: &Api) -> [(&'static str, Option<String>); 3] {
    let live = &api.0.live;
    let since = live.since_turn();
    let stuck = (since > TURN_MAX).then(|| format!("it has not turned for {} s", since.as_secs()));
    let leaving = live.is_leaving().then(|| "the service is about to stop".to_owned());
    [("pipeline", live.status().failure.clone()), ("turning", stuck), ("staying", leaving)]
}

pub(super) async fn ready(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<String, Problem> {
    let checks = checks(&api);
    if let Some((name, why)) = checks.iter().find_map(|(name, why)| Some((name, why.as_ref()?))) {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", format!("{name}: {why}")));
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

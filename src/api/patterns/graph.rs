//! The automaton of a pattern, drawn.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::look::{known, no_version};
use crate::api::Api;
use crate::api::extract::{Named, Parameters};
use crate::api::problem::Problem;
use crate::pattern::explain::{Format, Graph, render};
use crate::pattern::{Limits, compile};
use crate::pipeline::live::Refusal;

/// The formats by their media types; the first one is given where anything is taken.
const TYPES: [(&str, Format); 5] = [
    ("image/svg+xml", Format::Svg),
    ("text/vnd.graphviz", Format::Dot),
    ("text/vnd.mermaid", Format::Mermaid),
    ("application/json", Format::Json),
    ("text/plain", Format::Text),
];

/// What is wanted of a graph.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// svg, dot, mermaid, json or text. As `Accept` says where it is not given, else svg.
    #[serde(default)]
    format: Option<String>,
    /// Of this version instead of the one that is there.
    #[serde(default)]
    version: Option<u64>,
}

/// The automaton of a pattern, drawn
#[utoipa::path(
    get,
    path = "/v1/patterns/{name}/graph",
    tag = "patterns",
    params(("name" = String, Path, description = "the pattern's name"), Wanted),
    responses(
        (status = 200, content(
            (String = "image/svg+xml"),
            (String = "text/vnd.graphviz"),
            (String = "text/vnd.mermaid"),
            (Object = "application/json"),
            (String = "text/plain")
        )),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 406, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn graph(
    State(api): State<Api>,
    Named(name): Named<String>,
    Parameters(wanted): Parameters<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = match &wanted.format {
        Some(format) => Format::named(format).ok_or_else(|| {
            let detail = "`format` is svg, dot, mermaid, json or text";
            Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", detail)
        })?,
        None => accepted(&headers)?,
    };
    let status = api.0.live.status();
    let pattern = known(&status.registry, &name)?;
    let version = match wanted.version {
        Some(number) => {
            let found = pattern.versions.iter().find(|version| version.number == number);
            found.ok_or_else(|| no_version(&name, number))?
        }
        None => pattern.current().ok_or_else(|| Refusal::Missing(name.clone()))?,
    };
    let compiled = compile(&version.source, &Limits::default());
    let tree = compiled.file.patterns.first();
    let graph = tree.zip(compiled.plans.first()).and_then(|(tree, plan)| Graph::new(tree, plan));
    let graph = graph.ok_or_else(|| {
        let detail = format!("`{name}` has too many ways between its stages to draw");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "graph-too-large", detail)
    })?;
    let kind = TYPES.iter().find(|(_, of)| *of == format).map_or("text/plain", |(kind, _)| kind);
    Ok(([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], render(&graph, format)).into_response())
}

/// The first format of `Accept` that there is.
fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Ok(TYPES[0].1) };
    let wanted = accept.to_str().unwrap_or_default().split(',');
    for range in wanted.map(|range| range.split(';').next().unwrap_or_default().trim()) {
        let fits = |kind: &str| match range.strip_suffix('*') {
            Some("*/") => true,
            Some(before) => kind.starts_with(before),
            None => kind.eq_ignore_ascii_case(range),
        };
        if let Some((_, format)) = TYPES.iter().find(|(kind, _)| fits(kind)) {
            return Ok(*format);
        }
    }
    let kinds: Vec<&str> = TYPES.iter().map(|(kind, _)| *kind).collect();
    let detail = format!("a graph is one of {}", kinds.join(", "));
    Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail))
}

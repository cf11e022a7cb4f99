//! Patterns as they are given: as text, or as JSON with their properties.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};

use crate::api::extract::{Moment, media_type};
use crate::api::problem::{Place, Problem, places};
use crate::event::{TimeSpan, Timestamp};
use crate::pattern::{self, compile};
use crate::pipeline::decision::{Budgets, OldState, span};
use crate::pipeline::live::NewProperties;

/// How a change is to be made.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Options {
    /// The first event time that sees the change: epoch milliseconds or RFC 3339. As soon as can be where it is not
    /// given or has passed.
    #[serde(default)]
    #[param(value_type = Option<Moment>)]
    pub(super) effective_from: Option<Moment>,
    /// Whether everything is checked and nothing is changed.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub(super) dry_run: bool,
}

/// How a change that ends a version is to be made.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EndOptions {
    /// The first event time that sees the change: epoch milliseconds or RFC 3339. As soon as can be where it is not
    /// given or has passed.
    #[serde(default)]
    #[param(value_type = Option<Moment>)]
    pub(super) effective_from: Option<Moment>,
    /// Whether everything is checked and nothing is changed.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub(super) dry_run: bool,
    /// What becomes of the partial matches of the version that ends: drained (where it has a `within`, which is the
    /// default then), dropped (the default else), or carried over to the version that follows it.
    #[serde(default)]
    #[param(inline)]
    pub(super) state: Option<OldState>,
}

/// How patterns are made equal to a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ApplyOptions {
    /// The first event time that sees the changes: epoch milliseconds or RFC 3339. As soon as can be where it is not
    /// given or has passed.
    #[serde(default)]
    #[param(value_type = Option<Moment>)]
    pub(super) effective_from: Option<Moment>,
    /// Whether everything is checked and nothing is changed.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub(super) dry_run: bool,
    /// What becomes of the partial matches of versions that are replaced.
    #[serde(default)]
    #[param(inline)]
    pub(super) state: Option<OldState>,
    /// Whether patterns that are not in the list are removed.
    #[serde(default = "yes")]
    #[param(value_type = Option<bool>, default = true)]
    pub(super) prune: bool,
}

fn yes() -> bool {
    true
}

/// A pattern, or several of one text, with what holds for them.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    /// The text.
    pub(super) source: String,
    /// For people and for choosing.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    /// Whether its matches go to no sink.
    #[serde(default)]
    shadow: Option<bool>,
    /// Whether it begins no partial match.
    #[serde(default)]
    paused: Option<bool>,
    /// It gives one match per key in this length of event time, as in `10m`; the others are counted and dropped.
    #[serde(default, with = "span")]
    #[schema(value_type = Option<String>)]
    suppress: Option<TimeSpan>,
    /// Its own budgets.
    #[serde(default)]
    limits: Option<Budgets>,
    /// The first event time that sees it: epoch milliseconds or RFC 3339. The same for all of one request.
    #[serde(default)]
    effective_from: Option<Moment>,
}

/// Patterns of one request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Several {
    patterns: Vec<New>,
}

/// One pattern of a request.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) properties: NewProperties,
}

/// What a request brings.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) patterns: Vec<Given>,
    pub(super) effective_from: Option<Timestamp>,
    pub(super) warnings: Vec<Place>,
    pub(super) errors: Vec<Place>,
    /// Whether it was JSON.
    pub(super) is_json: bool,
}

impl Body {
    /// Reads a body. What is wrong with its texts stands in `errors`.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes, max_text: usize) -> Result<Body, Problem> {
        let (news, is_json) = match media_type(headers).as_deref() {
            None | Some("text/plain") => {
                let source = std::str::from_utf8(body).map_err(|_| {
                    Problem::new(StatusCode::BAD_REQUEST, "not-utf-8", "a pattern is text in UTF-8")
                })?;
                (vec![(None, New::of(source.to_owned()))], false)
            }
            Some("application/json") => (news(body)?, true),
            Some(_) => return Err(unsupported("`text/plain` or `application/json`")),
        };
        let mut read = Body { is_json, ..Body::default() };
        for (pointer, new) in news {
            if new.source.len() > max_text {
                let detail = format!("a pattern text has {max_text} bytes at most");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "text-too-long", detail));
            }
            if let Some(Moment(time)) = new.effective_from {
                if read.effective_from.is_some_and(|other| other != time) {
                    return Err(Problem::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "several-cuts",
                        "the patterns of one request take effect at one time: `effective_from` has to be the same",
                    ));
                }
                read.effective_from = Some(time);
            }
            read.add(new, pointer.as_deref());
        }
        Ok(read)
    }

    fn add(&mut self, new: New, pointer: Option<&str>) {
        let text = new.source.as_str();
        let compiled = compile(text, &pattern::Limits::default());
        self.errors.extend(places(text, &compiled.diagnostics, true, pointer));
        self.warnings.extend(places(text, &compiled.diagnostics, false, pointer));
        let given = |(name, source): (&str, &str)| Given {
            name: name.to_owned(),
            source: source.to_owned(),
            properties: new.properties(),
        };
        self.patterns.extend(compiled.texts(text).map(given));
    }

    /// Itself, if nothing is wrong with its texts.
    pub(super) fn valid(self) -> Result<Body, Problem> {
        if self.errors.is_empty() { Ok(self) } else { Err(Problem::of_texts(self.errors)) }
    }

    /// Itself, if nothing is wrong with its texts and they hold a pattern.
    pub(super) fn with_patterns(self) -> Result<Body, Problem> {
        let body = self.valid()?;
        if body.patterns.is_empty() {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "no-pattern",
                "there is no pattern in the body",
            ));
        }
        Ok(body)
    }

    /// When it is to take effect: as its patterns say, or as the query says.
    pub(super) fn effective_from(&self, query: Option<Moment>) -> Result<Option<Timestamp>, Problem> {
        match (self.effective_from, query) {
            (Some(body), Some(Moment(query))) if body != query => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "several-cuts",
                "`effective_from` of the query and of the body differ",
            )),
            (body, query) => Ok(body.or(query.map(|moment| moment.0))),
        }
    }
}

impl New {
    fn of(source: String) -> New {
        New {
            source,
            labels: None,
            shadow: None,
            paused: None,
            suppress: None,
            limits: None,
            effective_from: None,
        }
    }

    fn properties(&self) -> NewProperties {
        NewProperties {
            paused: self.paused,
            shadow: self.shadow,
            labels: self.labels.clone(),
            suppress: self.suppress.map(Some),
            limits: self.limits,
        }
    }
}

/// One pattern, an array of them, or an object that holds an array: each with where its text is.
fn news(body: &[u8]) -> Result<Vec<(Option<String>, New)>, Problem> {
    #[derive(Deserialize)]
    struct Peek {
        #[serde(default)]
        patterns: Option<serde::de::IgnoredAny>,
    }
    let numbered = |news: Vec<New>, before: &str| {
        let place = |(place, new)| (Some(format!("{before}/{place}/source")), new);
        news.into_iter().enumerate().map(place).collect()
    };
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Ok(numbered(json(body)?, ""));
    }
    match json::<Peek>(body)?.patterns {
        Some(_) => Ok(numbered(json::<Several>(body)?.patterns, "/patterns")),
        None => Ok(vec![(Some(String::from("/source")), json(body)?)]),
    }
}

/// A body of JSON: 400 where it is none, 422 where it is not what is wanted.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", error.to_string())
        }
        _ => {
            let detail = format!("the body is no JSON: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "invalid-json", detail)
        }
    })
}

/// A body of another kind than the route takes.
pub(super) fn unsupported(wanted: &str) -> Problem {
    let detail = format!("the body has to be {wanted}, and `content-type` has to say so");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
}

//! What stands before every route: whose request it is, and whether they may make it.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::host::foreign;
use super::table::{Rule, Scope, methods_of, rule_of};
use super::token::Actor;
use super::{Tokens, Unknown, wall_clock};
use crate::api::problem::Problem;

/// How the routes are guarded.
pub struct Guard {
    /// The tokens; none: everybody may do everything.
    pub tokens: Option<Tokens>,
    /// Whether a request may only come from this machine, and from no page of another site in its browsers.
    pub own_host_only: bool,
}

/// A request that is refused, and what is to be said with it.
struct Refused {
    // In boxes, for errors are to be small.
    problem: Box<Problem>,
    header: Option<Box<(header::HeaderName, HeaderValue)>>,
    /// Who is refused, where that is known.
    actor: Option<Box<Actor>>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused { problem: Box::new(problem), header: None, actor: None }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        response.headers_mut().extend(self.header.map(|header| *header));
        if let Some(actor) = self.actor {
            response.extensions_mut().insert(*actor);
        }
        response
    }
}

type Params = Result<RawPathParams, RawPathParamsRejection>;

pub(in crate::api) async fn guard(
    State(guard): State<Arc<Guard>>,
    matched: Option<MatchedPath>,
    params: Params,
    mut request: Request,
    next: Next,
) -> Response {
    match guard.admit(&request, matched.as_ref(), &params) {
        Err(refused) => refused.into_response(),
        Ok(actor) => {
            request.extensions_mut().insert(actor.clone());
            let mut response = next.run(request).await;
            // For the audit, which stands before this.
            response.extensions_mut().insert(actor);
            response
        }
    }
}

impl Guard {
    /// Who makes a request, where they may.
    fn admit(
        &self,
        request: &Request,
        matched: Option<&MatchedPath>,
        params: &Params,
    ) -> Result<Actor, Refused> {
        if self.own_host_only
            && let Some(why) = foreign(request.uri(), request.headers())
        {
            let detail = format!("{why}: without tokens, only programs on this machine may use the service");
            let problem = Problem::new(StatusCode::FORBIDDEN, "foreign-site", detail);
            return Err(Refused { actor: Some(Box::new(Actor::anonymous())), ..problem.into() });
        }
        // What is nowhere is told to be nowhere.
        let Some(path) = matched.map(MatchedPath::as_str) else { return Ok(Actor::anonymous()) };
        let Some(rule) = rule_of(request.method(), path) else { return Err(no_rule(request.method(), path)) };
        let (Some(tokens), Some(least)) = (&self.tokens, rule.least) else { return Ok(Actor::anonymous()) };
        let actor = bearer(tokens, request.headers())?;
        if !actor.role.suffices(least) {
            let detail =
                format!("this takes the role {least}, the token `{}` has {}", actor.name, actor.role);
            return Err(forbidden(actor, detail));
        }
        in_scope(actor, rule, params)
    }
}

/// Who acts, where what the path names is in the scope of their token.
fn in_scope(actor: Actor, rule: &Rule, params: &Params) -> Result<Actor, Refused> {
    let named =
        || params.as_ref().ok().and_then(|params| params.iter().next()).map_or("", |(_, value)| value);
    let fits = match rule.scope {
        Scope::None => true,
        Scope::Stream => !rule.path.contains("{stream}") || actor.may_post_to(named()),
        // Where something else names them, whoever reads that looks.
        Scope::Pattern => !rule.path.contains('{') || actor.may_change(named()),
    };
    let detail = format!("`{}` is not in the scope of the token `{}`", named(), actor.name);
    if fits { Ok(actor) } else { Err(forbidden(actor, detail)) }
}

/// Whose token a request has.
fn bearer(tokens: &Tokens, headers: &HeaderMap) -> Result<Actor, Refused> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return Err(unauthorized("this takes a token: send `Authorization: Bearer …` once", None));
    };
    let secret = given
        .to_str()
        .ok()
        .and_then(|given| given.split_once(' '))
        .and_then(|(scheme, secret)| scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim()));
    let Some(secret) = secret else {
        return Err(unauthorized("`Authorization` is not of the form `Bearer …`", Some("invalid_request")));
    };
    tokens.bearer(secret, wall_clock()).map_err(|unknown| match unknown {
        Unknown::NoSuchToken => unauthorized("the token is not known", Some("invalid_token")),
        Unknown::Expired => unauthorized("the token has expired", Some("invalid_token")),
        Unknown::Unreadable(why) => {
            tracing::error!(reason = why, "nobody is let in");
            let detail = "the service cannot read its tokens: its log says why";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-tokens", detail).into()
        }
    })
}

fn unauthorized(detail: &str, error: Option<&str>) -> Refused {
    let challenge = match error {
        None => "Bearer realm=\"sequor\"".to_owned(),
        Some(error) => format!("Bearer realm=\"sequor\", error=\"{error}\""),
    };
    Refused {
        problem: Box::new(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)),
        header: HeaderValue::try_from(challenge)
            .ok()
            .map(|value| Box::new((header::WWW_AUTHENTICATE, value))),
        actor: None,
    }
}

fn forbidden(actor: Actor, detail: String) -> Refused {
    Refused {
        problem: Box::new(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)),
        header: Some(Box::new((
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"sequor\", error=\"insufficient_scope\""),
        ))),
        actor: Some(Box::new(actor)),
    }
}

/// A route that the table does not have is refused, whether the router has it or not.
fn no_rule(method: &Method, path: &str) -> Refused {
    match methods_of(path) {
        Some(methods) => Refused {
            problem: Box::new(Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                format!("`{path}` does not take {method}, but {methods}"),
            )),
            header: HeaderValue::try_from(methods).ok().map(|value| Box::new((header::ALLOW, value))),
            actor: None,
        },
        None => {
            tracing::error!(path, "a route has no row in the table of routes (this is a defect of sequor)");
            let detail = format!("no role is set for `{path}`, so nobody may use it");
            Problem::new(StatusCode::FORBIDDEN, "no-rule", detail).into()
        }
    }
}

/// Refuses a change of a pattern that is not in the scope of a token.
pub(in crate::api) fn may_change(actor: &Actor, pattern: &str) -> Result<(), Problem> {
    if actor.may_change(pattern) {
        return Ok(());
    }
    let detail = format!("`{pattern}` is not in the scope of the token `{}`", actor.name);
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// Refuses events for a stream that is not in the scope of a token.
pub(in crate::api) fn may_post_to(actor: &Actor, stream: &str) -> Result<(), Problem> {
    if actor.may_post_to(stream) {
        return Ok(());
    }
    let detail = format!("`{stream}` is not in the scope of the token `{}`", actor.name);
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// Refuses a change of whatever patterns there are to a token that may change only some.
pub(in crate::api) fn may_change_all(actor: &Actor) -> Result<(), Problem> {
    if !actor.is_limited_to_patterns() {
        return Ok(());
    }
    let detail = format!(
        "the token `{}` may change only some patterns, and this removes all that are not named: use `prune=false`",
        actor.name
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

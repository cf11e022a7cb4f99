//! Who may use which route. A route that is not in this table is refused, whoever asks.

use axum::http::Method;

use super::Role;

/// A route, by its template and its method, and what it takes to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// The template of the path, as the router has it.
    pub path: &'static str,
    /// The least role; none: anybody, without a token.
    pub least: Option<Role>,
    /// What the scope of a token is about.
    pub scope: Scope,
}

impl Rule {
    /// Whether it is there to change something, so that the audit has every use of it.
    pub fn is_mutation(&self) -> bool {
        self.method != "GET" && self.path != "/v1/patterns:check"
    }
}

/// What the scope of a token is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: scopes make no difference.
    None,
    /// The stream that the path names, or that a dead letter is of.
    Stream,
    /// The pattern that the path or the body names.
    Pattern,
}

const fn open(path: &'static str) -> Rule {
    Rule { method: "GET", path, least: None, scope: Scope::None }
}

const fn read(path: &'static str) -> Rule {
    Rule { method: "GET", path, least: Some(Role::Viewer), scope: Scope::None }
}

const fn ingest(path: &'static str) -> Rule {
    Rule { method: "POST", path, least: Some(Role::Ingest), scope: Scope::Stream }
}

const fn edit(method: &'static str, path: &'static str) -> Rule {
    Rule { method, path, least: Some(Role::Editor), scope: Scope::Pattern }
}

const fn admin(method: &'static str, path: &'static str) -> Rule {
    Rule { method, path, least: Some(Role::Admin), scope: Scope::None }
}

/// All routes.
pub const RULES: &[Rule] = &[
    open("/livez"),
    open("/readyz"),
    read("/metrics"),
    read("/v1/streams"),
    read("/v1/streams/{stream}"),
    ingest("/v1/streams/{stream}/events"),
    ingest("/v1/streams/{stream}/watermark"),
    read("/v1/patterns"),
    edit("POST", "/v1/patterns"),
    read("/v1/patterns/{name}"),
    edit("PUT", "/v1/patterns/{name}"),
    edit("DELETE", "/v1/patterns/{name}"),
    edit("PATCH", "/v1/patterns/{name}"),
    read("/v1/patterns/{name}/versions"),
    read("/v1/patterns/{name}/versions/{version}"),
    read("/v1/patterns/{name}/graph"),
    read("/v1/patterns/{name}/partial-matches"),
    read("/v1/patterns/{name}/cost"),
    read("/v1/keys/{key}"),
    edit("POST", "/v1/patterns:apply"),
    edit("POST", "/v1/patterns:check"),
    read("/v1/matches"),
    read("/v1/matches/stream"),
    read("/v1/dead-letters"),
    ingest("/v1/dead-letters/{sequence}/redrive"),
    read("/v1/control-log"),
    read("/v1/sinks"),
    admin("GET", "/v1/audit"),
    admin("POST", "/v1/savepoint"),
    admin("POST", "/v1/backup"),
];

/// The rule of a route. What is asked with HEAD is what GET would give, without its body.
pub fn rule_of(method: &Method, path: &str) -> Option<&'static Rule> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    RULES.iter().find(|rule| rule.path == path && rule.method == method)
}

/// The methods that a path takes, as the header `Allow` lists them; none where it is not in the table.
pub fn methods_of(path: &str) -> Option<String> {
    let methods: Vec<&str> = RULES
        .iter()
        .filter(|rule| rule.path == path)
        .flat_map(|rule| {
            if rule.method == "GET" { &["GET", "HEAD"][..] } else { std::slice::from_ref(&rule.method) }
        })
        .copied()
        .collect();
    if methods.is_empty() { None } else { Some(methods.join(", ")) }
}

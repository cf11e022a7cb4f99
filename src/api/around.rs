//! Around every request: its id, and an answer also where a handler panics.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::problem::Problem;
use super::trace;

/// The header of the id of a request, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const ID_MAX: usize = 64;

tokio::task_local! {
    static ID: Cell<Option<String>>;
}

/// The id of the request that is being answered.
pub(super) fn request_id() -> Option<String> {
    let id = ID.try_with(|id| {
        let held = id.take();
        id.set(held.clone());
        held
    });
    id.ok().flatten()
}

/// Gives a request its id, or keeps the one that it came with, and answers also where the handler panics.
pub(super) async fn around(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = given.filter(|id| is_id(id)).map_or_else(new_id, str::to_owned);
    let header = HeaderValue::from_str(&id);
    let span = trace::span(&request, &id);
    let answered = async {
        AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request_id = request_id(), "a handler panicked");
            let detail = "this is a defect of sequor: its log tells more";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        })
    };
    let mut response = ID.scope(Cell::new(Some(id)), answered.instrument(span.clone())).await;
    trace::answered(&span, &response);
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(is_plain)
}

fn new_id() -> String {
    let mut bytes = [0; 16];
    // An id that is not random is still an id.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Router, middleware};

    #[test]
    fn a_handler_that_panics_is_answered() {
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let router = Router::new().route("/", get(panics)).layer(middleware::from_fn(super::around));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        runtime.spawn(async { axum::serve(listener, router).await });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = agent.get(url).header("x-request-id", "not an id").call().unwrap();
        assert_eq!(response.status().as_u16(), 500);
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let problem: serde_json::Value = response.body_mut().read_json().unwrap();
        assert_eq!((problem["status"].as_u64(), problem["request_id"].as_str()), (Some(500), Some(&*id)));
        assert_eq!(id.len(), 32);
    }
}

//! The description of the API (OpenAPI 3.1), made from the annotations of the handlers.

use axum::http::StatusCode;
use utoipa::OpenApi;
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};

use super::problem::Problem;
use super::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sequor",
        description = "Complex event processing: events in, patterns that change while it runs, matches out. Whatever goes wrong is answered with a problem document (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem)),
    tags(
        (name = "patterns", description = "Patterns, put, looked at and removed while events pass"),
        (name = "streams", description = "Streams, and events that come in"),
        (name = "matches", description = "Matches that were found"),
        (name = "dead letters", description = "Late events and lines that are no events"),
        (name = "operation", description = "Backups and checkpoints"),
        (name = "audit", description = "Who asked for which changes"),
        (name = "health", description = "Whether the service is there, and whether it takes work")
    )
)]
struct Info;

/// The description of all routes. Any of them may answer with a problem, also where that is not said.
pub fn document() -> Document {
    let mut document = Info::openapi();
    document.merge(routes().into_openapi());
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new()
        .description("What went wrong")
        .content("application/problem+json", problem)
        .build();
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete, &mut path.patch];
        for operation in operations.into_iter().flatten() {
            // Handlers of several resources have one name.
            let resource =
                operation.tags.iter().flatten().next().cloned().unwrap_or_default().replace(' ', "_");
            operation.operation_id = operation.operation_id.take().map(|id| format!("{resource}_{id}"));
            let responses = &mut operation.responses.responses;
            for (status, response) in responses.iter_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    let status = StatusCode::from_bytes(status.as_bytes()).ok();
                    let said = status.and_then(|status| status.canonical_reason()).unwrap_or("Answer");
                    response.description = said.to_owned();
                }
            }
            responses.entry(String::from("default")).or_insert_with(|| RefOr::T(problem.clone()));
        }
    }
    document
}

/// The description as YAML.
pub fn yaml() -> String {
    // A document of plain data can be written.
    document().to_yaml().unwrap_or_default()
}

//! The description of the API, OpenAPI 3.1, made from the handlers and completed from the access
//! table: who may use an operation, and the problems every one of them can answer with.

use axum::{
    extract::State,
    http::{Method, header},
    response::{IntoResponse, Response},
};
use utoipa::{
    PartialSchema,
    openapi::{
        Components, ContentBuilder, Info, OpenApi, RefOr, ResponseBuilder, Tag,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    access::{self, Access},
    params::{Nothing, Params},
    problem::{Fault, Problem},
    shared::Shared,
};
use crate::tokens::Role;

/// The description of this API
///
/// OpenAPI 3.1. The same file is committed as `api/openapi.json`.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "service", operation_id = "openapi",
    responses((status = 200, description = "The description.", body = Object,
        example = json!({"openapi": "3.1.0", "info": {"title": "Sluice"}})))
)]
pub(super) async fn serve(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}

/// Adds what is the same for all operations.
pub(super) fn complete(mut api: OpenApi) -> OpenApi {
    api.info = Info::builder()
        .title("Sluice")
        .version("1")
        .description(Some(
            "Findings, rules, dead letters, hunts and inputs of one Sluice node. Every request but \
             those marked public carries `Authorization: Bearer slc_…` (`sluice token create`). \
             Times are RFC 3339 in UTC with milliseconds. Unknown parameters and fields are \
             refused. Errors are RFC 9457 problems with a stable `code`.",
        ))
        .build();
    api.tags = Some(
        [
            ("findings", "What the rules found, and the work on it."),
            ("incidents", "Findings of one entity that belong together, and suppressions."),
            ("entities", "Users, devices and others, and their risk."),
            ("rules", "The rules that run, and how they do."),
            ("sources", "Inputs, and what became of their records."),
            ("dead letters", "Records that could not become rows."),
            ("hunts", "SQL over recent events."),
            ("ingest", "Pushing logs."),
            ("audit", "What people and tokens did."),
            (
                "signals",
                "Levels of entities, and their changes to identity providers and gateways.",
            ),
            ("webhooks", "Findings, incidents and changes of risk to other endpoints."),
            ("service", "The process itself."),
        ]
        .map(|(name, text)| {
            let mut tag = Tag::new(name);
            tag.description = Some(text.to_owned());
            tag
        })
        .to_vec(),
    );
    let components = api.components.get_or_insert_with(Components::new);
    components.schemas.insert("Problem".to_owned(), Problem::schema());
    components.schemas.insert("Fault".to_owned(), Fault::schema());
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("A token made by `sluice token create`."))
                .build(),
        ),
    );
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            match access::access(&method, path) {
                Some(Access::Needs(permission)) => {
                    operation.security =
                        Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
                    let roles: Vec<&str> = Role::ALL
                        .into_iter()
                        .filter(|role| role.may(permission))
                        .map(Role::name)
                        .collect();
                    let text = operation.description.take().unwrap_or_default();
                    let needs =
                        format!("Needs `{}`: roles {}.", permission.name(), roles.join(", "));
                    operation.description = Some(format!("{text}\n\n{needs}").trim().to_owned());
                    refuse(
                        operation,
                        "401",
                        "No token, or one that is unknown, revoked or expired.",
                    );
                    refuse(operation, "403", "The token's role does not have the permission.");
                    refuse(operation, "default", "Any other problem.");
                }
                Some(Access::Token) => {
                    operation.security =
                        Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
                    let text = operation.description.take().unwrap_or_default();
                    let needs = "Needs a token of any role.";
                    operation.description = Some(format!("{text}\n\n{needs}").trim().to_owned());
                    refuse(
                        operation,
                        "401",
                        "No token, or one that is unknown, revoked or expired.",
                    );
                    refuse(operation, "default", "Any other problem.");
                }
                Some(Access::Public) | None => operation.security = Some(Vec::new()),
            }
        }
    }
    api
}

/// As it is served and committed.
pub(super) fn text(api: &OpenApi) -> String {
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The operations of a path.
pub(super) fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PATCH, &mut item.patch),
        (Method::PUT, &mut item.put),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
    .collect()
}

fn refuse(operation: &mut Operation, status: &str, text: &str) {
    let schema = utoipa::openapi::Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(RefOr::Ref(schema))).build();
    let response = ResponseBuilder::new()
        .description(text)
        .content("application/problem+json", content)
        .build();
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(response));
}

//! The OpenAPI 3.1 document, made from the list of routes.
//!
//! This module adds the common problems of requests with a token, a body or a query to every operation, so that handlers name
//! only their own (`x-problems`).

pub mod discriminators;

use crate::http::kit::problem::{Code, Problem, ProblemBody};
use crate::http::kit::response_context::MEDIA_LINKS;
use crate::http::routes::endpoints;
use std::collections::BTreeMap;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Object, OpenApi, RefOr, Response, ResponseBuilder, Type,
    example::ExampleBuilder,
};
use utoipa::{OpenApi as _, ToSchema};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tideline",
        description = "Chat messaging as a service. Every message is stored once, in its conversation's timeline, and \
            referenced in every receiver's inbox under a contiguous seq. A device waits for notices, then fetches its \
            inbox from the last seq that it has. Ids are compared as UUIDs: requests may have them in any case, responses \
            have them in lower case. Errors are RFC 9457 problems: switch on `code` \
            ([the list](/docs/problems)).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "Accounts", description = "Registration, login, devices, profiles, privacy, blocks and user lookup"),
        (name = "Contacts", description = "The caller's contacts, friends and requests to become friends"),
        (name = "Conversations", description = "Creating, reading, listing and renaming conversations"),
        (name = "Members", description = "The members of conversations, with their roles, mutes and bans"),
        (name = "Messages", description = "Sending, reading and marking messages"),
        (name = "Media", description = "Pictures, videos and files that the server keeps: upload, read, delete"),
        (name = "Sync", description = "How a device stays up to date: wait, fetch, remember the position"),
        (name = "Service desk", description = "Customer service: desks, and who serves them"),
        (name = "Service", description = "Capabilities, health and diagnostics"),
    ),
    security(("bearer" = [])),
    components(schemas(ProblemBody)),
)]
struct Document;

/// The document.
pub fn document() -> OpenApi {
    let mut document = Document::openapi();
    let mut schemas = Vec::new();
    <ProblemBody as ToSchema>::schemas(&mut schemas);
    for mut endpoint in endpoints() {
        schemas.append(&mut endpoint.schemas);
        complete(&mut endpoint.operation, &endpoint.method, &endpoint.path);
        document
            .paths
            .add_path_operation(endpoint.path, vec![endpoint.method], endpoint.operation);
    }
    let components = document.components.get_or_insert_default();
    components.schemas.extend(schemas);
    discriminators::expand_variants(&mut components.schemas);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The `access_token` of a session."))
        .build();
    components
        .security_schemes
        .insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    document
}

/// The document as committed and served.
pub fn json() -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&document())?;
    text.push('\n');
    Ok(text)
}

fn complete(operation: &mut Operation, method: &HttpMethod, path: &str) {
    let is_public = operation.security.as_ref().is_some_and(|schemes| {
        schemes
            .iter()
            .any(|one| *one == SecurityRequirement::default())
    });
    let mut codes = Vec::new();
    if let Some(extensions) = &mut operation.extensions {
        let named = extensions.remove("x-problems").unwrap_or_default();
        for code in Code::ALL {
            if named
                .as_array()
                .is_some_and(|named| named.iter().any(|name| name == code.as_str()))
            {
                codes.push(*code);
            }
        }
        if extensions.is_empty() {
            operation.extensions = None;
        }
    }
    // Every operation rejects unknown query parameters.
    if path.starts_with("/v1/") {
        codes.extend([Code::Validation, Code::RateLimited]);
    }
    if operation.request_body.is_some() {
        codes.extend([
            Code::RequestTimeout,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
        ]);
    }
    if !is_public {
        codes.extend([
            Code::Unauthenticated,
            Code::TokenExpired,
            Code::DeviceRevoked,
        ]);
    }
    // Public reads use only memory, and need no database. A link is one of a member.
    let is_link = path.starts_with(MEDIA_LINKS);
    let reads_memory = matches!(method, HttpMethod::Get) && is_public && !is_link;
    if !reads_memory {
        codes.extend([Code::Overloaded, Code::StorageUnavailable, Code::Internal]);
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL.iter().filter(|code| codes.contains(code)) {
        by_status
            .entry(code.status().as_u16())
            .or_default()
            .push(*code);
    }
    for (status, codes) in by_status {
        operation
            .responses
            .responses
            .insert(status.to_string(), RefOr::T(problem(status, &codes)));
    }
}

fn problem(status: u16, codes: &[Code]) -> Response {
    let description: Vec<_> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.advice()))
        .collect();
    let mut content = ContentBuilder::new().schema(Some(RefOr::Ref(
        utoipa::openapi::Ref::from_schema_name(ProblemBody::name()),
    )));
    for code in codes {
        let body = Problem::new(*code).into_body("0199a3c0-0000-7000-8000-00000000beef");
        let example = ExampleBuilder::new()
            .summary(code.title())
            .value(serde_json::to_value(body).ok())
            .build();
        content = content.examples_from_iter([(code.as_str(), RefOr::T(example))]);
    }
    let mut response = ResponseBuilder::new()
        .description(description.join("\n\n"))
        .content("application/problem+json", content.build());
    let header = |kind: Type, description: &str| {
        HeaderBuilder::new()
            .schema(Some(Object::with_type(kind)))
            .description(Some(description))
            .build()
    };
    if status == 401 {
        response = response.header("WWW-Authenticate", header(Type::String, "`Bearer`"));
    }
    if status == 429 {
        let limit = "The remaining quota (`r`), and the seconds until it is full again (`t`); on most responses";
        let policy = "The quota (`q`) of a window of seconds (`w`); on most responses";
        response = response
            .header("RateLimit", header(Type::String, limit))
            .header("RateLimit-Policy", header(Type::String, policy));
    }
    if status == 429 || status == 503 {
        response = response.header(
            "Retry-After",
            header(
                Type::Integer,
                "Repeat the request after this time, in seconds",
            ),
        );
    }
    response.build()
}

//! The list of endpoints, from which the handlers are mounted and the OpenAPI document is made.

use crate::http::desk::{desks, seats};
use crate::http::identity::{account_ends, accounts, devices};
use crate::http::kit::cors;
use crate::http::kit::extractors::Query;
use crate::http::kit::methods::{options, other_method};
use crate::http::kit::problem::{Code, Problem};
use crate::http::media::{avatars, content, links, uploads};
use crate::http::messaging::{
    bans, changes, conversations, drafts, hidden, members, mentions, messages, pins, reactions,
    read_marks, receipts, scheduled, sends, settings,
};
use crate::http::operations::{diagnostics, health};
use crate::http::pages::docs;
use crate::http::pages::web as client;
use crate::http::people::{
    blocks, contact_requests, contacts, presence, privacy, profiles, search,
};
use crate::http::search::messages as message_search;
use crate::http::sync::{inbox, notices, typing, unread};
use crate::telemetry::Metrics;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpRequest, Route, guard, web};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::Path;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterIn};
use utoipa::openapi::{RefOr, Schema};

/// A documented operation and its handler.
pub(super) struct Endpoint {
    pub(super) path: String,
    pub(super) method: HttpMethod,
    pub(super) operation: Operation,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    mount: fn(Route) -> Route,
}

impl Endpoint {
    fn of<'t, P: Path + SchemaReferences + Tags<'t>>(mount: fn(Route) -> Route) -> Self {
        let mut schemas = Vec::new();
        P::schemas(&mut schemas);
        let mut operation = P::operation();
        operation.tags = Some(P::tags().into_iter().map(str::to_owned).collect());
        Self {
            path: P::path(),
            method: P::methods().into_iter().next().unwrap_or(HttpMethod::Get),
            operation,
            schemas,
            mount,
        }
    }

    /// Whether it accepts query parameters, which its handler then checks. Health checks accept any, because probes may add one
    /// against caches.
    pub(super) fn accepts_query(&self) -> bool {
        let parameters = self.operation.parameters.iter().flatten();
        !self.path.starts_with("/v1/")
            || parameters
                .into_iter()
                .any(|one| matches!(one, RefOr::T(one) if one.parameter_in == ParameterIn::Query))
    }

    /// Whether it accepts HEAD: every GET does, except long-polls.
    fn accepts_head(&self) -> bool {
        let mut parameters = self.operation.parameters.iter().flatten();
        let waits = parameters.any(|one| matches!(one, RefOr::T(one) if one.name == "timeout"));
        self.method() == Method::GET && !waits
    }

    fn route(&self) -> Route {
        let route = web::route();
        (self.mount)(if self.accepts_head() {
            route.guard(guard::Any(guard::Get()).or(guard::Head()))
        } else {
            route.method(self.method())
        })
    }

    fn method(&self) -> Method {
        match self.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Delete => Method::DELETE,
            HttpMethod::Options => Method::OPTIONS,
            HttpMethod::Head => Method::HEAD,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Trace => Method::TRACE,
        }
    }
}

/// The query of an operation without parameters: every parameter is unknown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoQuery {}

/// For operations without query parameters.
async fn no_query(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match Query::<NoQuery>::parse(request.query_string()) {
        Ok(Query(NoQuery {})) => Ok(next.call(request).await?.map_into_boxed_body()),
        // A response instead of `Err`, because an `Err` would bypass the middleware that builds the bodies of problems.
        Err(problem) => Ok(request.error_response(problem)),
    }
}

macro_rules! endpoints {
    ($($module:ident: $($handler:ident),+;)*) => {
        pastey::paste! {
            vec![$($(
                Endpoint::of::<$module::[<__path_ $handler>]>(|route| route.to($module::$handler))
            ),+),*]
        }
    };
}

/// Every operation, in the order of the documentation.
pub(super) fn endpoints() -> Vec<Endpoint> {
    endpoints! {
        accounts: register_user, login_user, refresh_session, logout_session;
        profiles: get_me, update_me, update_status, delete_status, get_user, list_users;
        account_ends: deactivate_me, delete_me;
        search: search_users;
        devices: list_devices, remove_device, change_password;
        privacy: get_privacy, update_privacy;
        contacts: list_contacts, get_contact, update_contact, remove_contact, update_contacts, get_mutual_count;
        contact_requests: list_requests, create_request, accept_request, decline_request, remove_request;
        presence: get_presence, create_presence_cursor;
        blocks: list_blocks, block_user, unblock_user;
        desks: create_desk, list_desks, update_desk, get_desk_skills, add_desk_skills;
        seats: list_seats, add_seat, update_seat, remove_seat, update_availability;
        conversations: create_conversation, list_conversations, get_conversation, update_conversation;
        members: list_members, add_members, remove_member, update_member;
        bans: list_bans, ban_user, unban_user;
        sends: send_message, send_messages;
        messages: list_messages, get_message, list_replies;
        message_search: search_messages;
        read_marks: mark_read, mark_unread;
        changes: edit_message, recall_message, list_versions;
        mentions: list_mentions;
        reactions: add_reaction, remove_reaction, list_reactions;
        receipts: list_receipts;
        settings: update_settings;
        drafts: update_draft, delete_draft, list_drafts;
        hidden: hide_messages, clear_history;
        scheduled: update_scheduled, delete_scheduled, list_scheduled;
        uploads: create_media, list_media, get_media, delete_media, get_upload, upload_part, complete_media;
        content: get_message_media, get_media_content, get_linked_media;
        links: create_media_links;
        avatars: get_user_avatar, get_conversation_avatar, create_avatar_links;
        pins: pin_message, unpin_message, list_pins;
        inbox: fetch_inbox;
        notices: wait_notices;
        typing: update_typing;
        unread: get_unread;
        health: get_capabilities, get_live, get_ready;
        diagnostics: diagnose_longpoll;
    }
}

/// Mounts everything on an actix app. Every resource has the handle of its metrics in its `app_data`, for the middleware.
pub fn configure(config: &mut web::ServiceConfig, metrics: &Arc<Metrics>, media_hosts: &[String]) {
    config.app_data(metrics.unmatched());
    // actix takes the first path that matches. Sorted, a literal segment comes before a parameter ("batch" before "{seq}").
    let mut by_path: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints() {
        by_path
            .entry(endpoint.path.clone())
            .or_default()
            .push(endpoint);
    }
    for (path, endpoints) in by_path {
        let methods = endpoints.iter().flat_map(|endpoint| {
            let head = endpoint.accepts_head().then_some(Method::HEAD);
            [endpoint.method()].into_iter().chain(head)
        });
        let methods: Vec<_> = methods.map(|method| method.to_string()).collect();
        let allow = methods.join(", ");
        let mut resource = web::resource(&path).app_data(metrics.route(&path));
        for endpoint in endpoints {
            let route = endpoint.route();
            resource = resource.route(if endpoint.accepts_query() {
                route
            } else {
                route.wrap(from_fn(no_query))
            });
        }
        config.service(resource.default_service(web::to(move |method: Method| {
            let response = other_method(&method, &allow);
            async { response }
        })));
    }
    docs::configure(config, metrics);
    client::configure(config, metrics, media_hosts);
    config.default_service(web::to(async |request: HttpRequest| {
        // A page can read a 404 only if its preflight succeeded. `OPTIONS *` is about the whole server.
        if cors::is_preflight(&request)
            || (request.method() == Method::OPTIONS && request.path() == "*")
        {
            Ok(options(cors::METHODS))
        } else {
            Err(Problem::new(Code::NotFound))
        }
    }));
}

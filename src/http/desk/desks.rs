//! Desks, and their skills.

use crate::domain::desk::desks::{self, DeskChange, NewDesk};
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids};
use crate::http::kit::optional::{given, present};
use crate::http::kit::problem::Problem;
use crate::model::account::{Caller, Username};
use crate::model::ids::{ClientDeskId, UserId};
use crate::model::name::{Name, is_name};
use crate::model::validators::{is_username, items, web_url};
use crate::model::wire::desk::{MAX_SKILLS, Seat};
use crate::model::wire::user::User;
use crate::model::wire::violation::Violation;
use actix_web::{HttpResponse, http::header, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A desk to create.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "acme-support", "display_name": "Acme support",
    "client_desk_id": "0199a3c0-0000-7000-8000-0000000000d1"}))]
pub struct CreateDeskRequest {
    /// The name by which customers find the desk, with the same rules as at registration.
    #[garde(custom(is_username))]
    #[schema(example = "acme-support", pattern = "^[A-Za-z0-9_.-]{3,32}$")]
    username: String,
    /// The name that customers see, 1 to 64 Unicode code points, with the same rules as at registration.
    #[garde(custom(is_name(64)))]
    #[schema(value_type = String, example = "Acme support", min_length = 1, max_length = 64)]
    display_name: Name,
    /// The caller's own id of the desk, preferably a UUIDv7. A repeat with the same id and username returns the existing desk (200).
    #[garde(skip)]
    client_desk_id: ClientDeskId,
}

/// A change of a desk, with at least one field.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"display_name": "Acme support"}))]
pub struct UpdateDeskRequest {
    /// The name that customers see, 1 to 64 Unicode code points, with the same rules as at registration.
    #[garde(inner(custom(is_name(64))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 64)]
    display_name: Option<Name>,
    /// The address of a picture, an http or https URL up to 2,048 bytes long, which Tideline does not load; null removes the picture.
    #[garde(inner(inner(custom(web_url))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 2048)]
    avatar_url: Option<Option<String>>,
}

/// The desks that the caller serves.
#[derive(Serialize, ToSchema)]
pub struct DeskList {
    /// By the id of the desk.
    desks: Vec<ServedDesk>,
}

/// A desk that the caller serves.
#[derive(Serialize, ToSchema)]
pub struct ServedDesk {
    /// The desk.
    desk: User,
    /// The caller's seat.
    seat: Seat,
}

/// The skills of a desk.
#[derive(Serialize, ToSchema)]
pub struct DeskSkills {
    /// The names, in their order.
    #[schema(example = json!(["sales", "returns"]))]
    skills: Vec<String>,
}

/// The skills of a desk, with those to add at the end.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"skills": ["sales", "returns"]}))]
pub struct AddSkillsRequest {
    /// Up to 64 names of 1 to 32 Unicode code points, with the rules of a display name, each once.
    #[garde(custom(items(0..=MAX_SKILLS)), inner(custom(is_name(32))))]
    #[schema(value_type = Vec<String>, max_items = 64)]
    skills: Vec<Name>,
}

/// Create a desk
///
/// The desk is a user of kind `desk`, for whom nobody logs in. The caller becomes its first admin. `forbidden` unless the operator has
/// opened the server for desks (`TIDELINE_DESKS`); then `tideline admin create-desk` creates them. `limit_reached` after 100 desks.
#[utoipa::path(post, path = "/v1/desks", tag = "Service desk", request_body = CreateDeskRequest,
    responses((status = 201, description = "The desk", body = User, headers(("Location" = String, description = "The desk as a user"))),
        (status = 200, description = "A desk that was created with this id before", body = User)),
    extensions(("x-problems" = json!(["forbidden", "conflict", "not_found", "limit_reached"]))))]
pub async fn create_desk(
    delivery: Handle<Delivery>,
    caller: Caller,
    Body(body): Body<CreateDeskRequest>,
) -> Result<HttpResponse, Problem> {
    let Some(username) = Username::new_name(&body.username) else {
        return Err(Violation::new("/username", Username::RULE).into());
    };
    let new = NewDesk {
        username,
        display_name: body.display_name.into(),
        client_id: body.client_desk_id,
    };
    let (desk, is_new) = desks::create(&delivery, caller, new).await?;
    Ok(match is_new {
        true => HttpResponse::Created()
            .insert_header((header::LOCATION, format!("/v1/users/{}", desk.id)))
            .json(desk),
        false => HttpResponse::Ok().json(desk),
    })
}

/// List the desks that the caller serves
#[utoipa::path(get, path = "/v1/me/desks", tag = "Service desk",
    responses((status = 200, description = "Up to 500 desks, each with the caller's seat", body = DeskList)))]
pub async fn list_desks(
    delivery: Handle<Delivery>,
    caller: Caller,
) -> Result<web::Json<DeskList>, Problem> {
    let desks = desks::of_caller(&delivery, caller).await?;
    let served = |(desk, seat)| ServedDesk { desk, seat };
    Ok(web::Json(DeskList {
        desks: desks.into_iter().map(served).collect(),
    }))
}

/// Change a desk
///
/// For admins of the desk.
#[utoipa::path(patch, path = "/v1/desks/{desk_id}", tag = "Service desk", request_body = UpdateDeskRequest,
    params(("desk_id" = Uuid, Path, description = "The desk")),
    responses((status = 200, description = "The desk, changed", body = User)),
    extensions(("x-problems" = json!(["not_found", "forbidden"]))))]
pub async fn update_desk(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk]): Ids<1>,
    Body(body): Body<UpdateDeskRequest>,
) -> Result<web::Json<User>, Problem> {
    let change = DeskChange {
        display_name: body.display_name.map(String::from),
        avatar_url: body.avatar_url,
    };
    if change == DeskChange::default() {
        return Err(Violation::new("", "must name at least one field").into());
    }
    let desk = desks::update(&delivery, caller, UserId(desk), change).await?;
    Ok(web::Json(desk))
}

/// Read the skills of a desk
///
/// For the staff of the desk.
#[utoipa::path(get, path = "/v1/desks/{desk_id}/skills", tag = "Service desk",
    params(("desk_id" = Uuid, Path, description = "The desk")),
    responses((status = 200, description = "The skills, in their order", body = DeskSkills)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn get_desk_skills(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk]): Ids<1>,
) -> Result<web::Json<DeskSkills>, Problem> {
    let skills = desks::skills(&delivery, caller, UserId(desk)).await?;
    Ok(web::Json(DeskSkills { skills }))
}

/// Add skills to a desk
///
/// For admins of the desk. The list begins with the present skills in their order, and may have more after them: a skill is neither
/// removed nor moved.
#[utoipa::path(put, path = "/v1/desks/{desk_id}/skills", tag = "Service desk", request_body = AddSkillsRequest,
    params(("desk_id" = Uuid, Path, description = "The desk")),
    responses((status = 200, description = "The skills", body = DeskSkills)),
    extensions(("x-problems" = json!(["not_found", "forbidden"]))))]
pub async fn add_desk_skills(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk]): Ids<1>,
    Body(body): Body<AddSkillsRequest>,
) -> Result<web::Json<DeskSkills>, Problem> {
    let skills: Vec<String> = body.skills.into_iter().map(String::from).collect();
    for (at, name) in skills.iter().enumerate() {
        if skills.iter().take(at).any(|before| before == name) {
            return Err(Violation::new(&format!("/skills/{at}"), "must be given once").into());
        }
    }
    let skills = desks::put_skills(&delivery, caller, UserId(desk), skills).await?;
    Ok(web::Json(DeskSkills { skills }))
}

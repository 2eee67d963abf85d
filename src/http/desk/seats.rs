//! Who serves a desk.

use crate::domain::desk::seats::{self, NewSeat, SeatChange};
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids};
use crate::http::kit::optional::given;
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::UserId;
use crate::model::name::{Name, is_name};
use crate::model::validators::{items, within};
use crate::model::wire::desk::{MAX_SKILLS, Seat, SeatRole};
use crate::model::wire::violation::Violation;
use actix_web::{HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most cases of a user.
const MAX_CAPACITY: i64 = 100;

/// A seat.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "agent", "skills": ["returns"], "capacity": 3, "alias": "Ann"}))]
pub struct AddSeatRequest {
    /// What the user may do.
    #[garde(skip)]
    role: SeatRole,
    /// Skills of the desk.
    #[garde(custom(items(0..=MAX_SKILLS)))]
    #[schema(max_items = 64)]
    skills: Vec<String>,
    /// How many cases the user has at most, 1 to 100.
    #[garde(custom(within(1..=MAX_CAPACITY)))]
    #[schema(minimum = 1, maximum = 100)]
    capacity: i64,
    /// The name under which the user answers, 1 to 64 Unicode code points, with the rules of a display name; null, or no value: the
    /// desk's name.
    #[garde(inner(custom(is_name(64))))]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    alias: Option<Name>,
}

/// A change of a seat, with at least one field.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"capacity": 5}))]
pub struct UpdateSeatRequest {
    /// `false`: the user takes no new cases. Only the user's own call makes it true.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    available: Option<bool>,
    /// Skills of the desk, in place of those from before.
    #[garde(inner(custom(items(0..=MAX_SKILLS))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_items = 64)]
    skills: Option<Vec<String>>,
    /// How many cases the user has at most, 1 to 100.
    #[garde(inner(custom(within(1..=MAX_CAPACITY))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, minimum = 1, maximum = 100)]
    capacity: Option<i64>,
}

/// Whether the caller takes new cases.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"available": false, "why": "lunch"}))]
pub struct AvailabilityRequest {
    /// Whether the caller takes new cases.
    #[garde(skip)]
    available: bool,
    /// Why not, for the staff: 1 to 100 Unicode code points, with the rules of a display name.
    #[garde(inner(custom(is_name(100))))]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    why: Option<Name>,
}

/// The seats of a desk.
#[derive(Serialize, ToSchema)]
pub struct SeatList {
    /// By the id of the user.
    agents: Vec<Seat>,
}

/// List the seats of a desk
///
/// For the staff of the desk.
#[utoipa::path(get, path = "/v1/desks/{desk_id}/agents", tag = "Service desk",
    params(("desk_id" = Uuid, Path, description = "The desk")),
    responses((status = 200, description = "Up to 500 seats", body = SeatList)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn list_seats(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk]): Ids<1>,
) -> Result<web::Json<SeatList>, Problem> {
    let agents = seats::all(&delivery, caller, UserId(desk)).await?;
    Ok(web::Json(SeatList { agents }))
}

/// Give a user a seat, or change it
///
/// For admins of the desk. A new seat is not available. A user whose privacy settings do not let the caller add them to groups is
/// `not_accepted`. `conflict` if the desk would have no admin left.
#[utoipa::path(put, path = "/v1/desks/{desk_id}/agents/{user_id}", tag = "Service desk", request_body = AddSeatRequest,
    params(("desk_id" = Uuid, Path, description = "The desk"), ("user_id" = Uuid, Path, description = "The user")),
    responses((status = 200, description = "The seat", body = Seat)),
    extensions(("x-problems" = json!(["not_found", "forbidden", "blocked", "not_accepted", "conflict", "limit_reached"]))))]
pub async fn add_seat(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk, user]): Ids<2>,
    Body(body): Body<AddSeatRequest>,
) -> Result<web::Json<Seat>, Problem> {
    let new = NewSeat {
        role: body.role,
        alias: body.alias.map(String::from),
        skills: body.skills,
        capacity: body.capacity,
    };
    let seat = seats::put(&delivery, caller, UserId(desk), UserId(user), new).await?;
    Ok(web::Json(seat))
}

/// Change the skills or the capacity of a seat, or end its availability
///
/// For supervisors and admins of the desk. A smaller capacity takes no case away.
#[utoipa::path(patch, path = "/v1/desks/{desk_id}/agents/{user_id}", tag = "Service desk", request_body = UpdateSeatRequest,
    params(("desk_id" = Uuid, Path, description = "The desk"), ("user_id" = Uuid, Path, description = "The user")),
    responses((status = 200, description = "The seat, changed", body = Seat)),
    extensions(("x-problems" = json!(["not_found", "forbidden"]))))]
pub async fn update_seat(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk, user]): Ids<2>,
    Body(body): Body<UpdateSeatRequest>,
) -> Result<web::Json<Seat>, Problem> {
    if body.available == Some(true) {
        let detail = "must be false: only the user becomes available";
        return Err(Violation::new("/available", detail).into());
    }
    let change = SeatChange {
        skills: body.skills,
        capacity: body.capacity,
        ends_availability: body.available == Some(false),
    };
    if change == SeatChange::default() {
        return Err(Violation::new("", "must name at least one field").into());
    }
    let seat = seats::update(&delivery, caller, UserId(desk), UserId(user), change).await?;
    Ok(web::Json(seat))
}

/// Take a seat away
///
/// For admins of the desk, and for the user who has the seat. `conflict` if the desk would have no admin left.
#[utoipa::path(delete, path = "/v1/desks/{desk_id}/agents/{user_id}", tag = "Service desk",
    params(("desk_id" = Uuid, Path, description = "The desk"), ("user_id" = Uuid, Path, description = "The user")),
    responses((status = 204, description = "The user has no seat, now or before")),
    extensions(("x-problems" = json!(["not_found", "forbidden", "conflict"]))))]
pub async fn remove_seat(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk, user]): Ids<2>,
) -> Result<HttpResponse, Problem> {
    seats::remove(&delivery, caller, UserId(desk), UserId(user)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Become available, or end it
///
/// For the staff of the desk. A user who is available takes new cases, and shows the staff the own presence.
#[utoipa::path(put, path = "/v1/desks/{desk_id}/me", tag = "Service desk", request_body = AvailabilityRequest,
    params(("desk_id" = Uuid, Path, description = "The desk")),
    responses((status = 200, description = "The caller's seat", body = Seat)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn update_availability(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([desk]): Ids<1>,
    Body(body): Body<AvailabilityRequest>,
) -> Result<web::Json<Seat>, Problem> {
    let why = body.why.map(String::from);
    if body.available && why.is_some() {
        let detail = "must not be given with available: true";
        return Err(Violation::new("/why", detail).into());
    }
    let seat = seats::set_available(&delivery, caller, UserId(desk), body.available, why).await?;
    Ok(web::Json(seat))
}

//! The caller's devices and password.

use crate::domain::identity::devices;
use crate::domain::identity::sessions;
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::http::identity::accounts::is_password;
use crate::http::kit::extractors::{Body, Handle, Ids, PASSWORD_COST, charge, charge_more};
use crate::http::kit::problem::Problem;
use crate::model::account::{Caller, Password};
use crate::model::ids::DeviceId;
use crate::model::rate_limit::Subject;
use crate::model::wire::user::Device;
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The caller's devices.
#[derive(Serialize, ToSchema)]
pub struct DeviceList {
    /// The devices, the most recently seen first.
    devices: Vec<Device>,
}

/// A change of password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"old_password": "correct horse", "new_password": "battery staple"}))]
pub struct ChangePasswordRequest {
    /// The current password.
    #[garde(skip)]
    #[schema(example = "correct horse")]
    old_password: String,
    /// The new password, 8 to 128 Unicode code points. It is normalized to NFC.
    #[garde(custom(is_password))]
    #[schema(example = "battery staple", min_length = 8, max_length = 128)]
    new_password: String,
}

/// List the caller's devices
///
/// At most 20. When another device logs in, the least recently seen one is logged out.
#[utoipa::path(get, path = "/v1/me/devices", tag = "Accounts",
    responses((status = 200, description = "The devices", body = DeviceList)))]
pub async fn list_devices(
    auth: Handle<Auth>,
    caller: Caller,
) -> Result<web::Json<DeviceList>, Problem> {
    let devices = devices::list(&auth, caller).await?;
    Ok(web::Json(DeviceList { devices }))
}

/// Log a device out
///
/// Logs out one of the caller's own devices. Its tokens become invalid on every node within five seconds, and its wait ends.
#[utoipa::path(delete, path = "/v1/me/devices/{id}", tag = "Accounts",
    params(("id" = Uuid, Path, description = "The device")),
    responses((status = 204, description = "Logged out")),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn remove_device(
    auth: Handle<Auth>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    devices::remove(&auth, caller, DeviceId(id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change the password
///
/// Logs the caller's other devices out. On this device, only the refresh token that was issued with the access token of this
/// request stays valid: use the newest access token.
#[utoipa::path(put, path = "/v1/me/password", tag = "Accounts", request_body = ChangePasswordRequest,
    responses((status = 204, description = "Changed")),
    extensions(("x-problems" = json!(["invalid_credentials"]))))]
pub async fn change_password(
    request: HttpRequest,
    auth: Handle<Auth>,
    caller: Caller,
    Body(body): Body<ChangePasswordRequest>,
) -> Result<HttpResponse, Problem> {
    // Limited as a login is, so that a stolen access token cannot be used to guess the password.
    let subject = Subject::Login(caller.user.to_string());
    charge(&request, &subject).await?;
    charge_more(&request, &Subject::User(caller.user), PASSWORD_COST - 1).await?;
    let new = Password::parse(body.new_password)
        .ok_or_else(|| Problem::invalid(vec![Violation::new("/new_password", Password::RULE)]))?;
    let old = Password::typed(body.old_password).ok_or(Error::InvalidCredentials)?;
    sessions::change_password(&auth, caller, old, new).await?;
    Ok(HttpResponse::NoContent().finish())
}

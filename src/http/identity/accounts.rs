//! Registration, login and logout.

use crate::domain::identity::sessions::{self, Session};
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::http::kit::extractors::{Body, Guest, Handle, PASSWORD_COST, charge, charge_more};
use crate::http::kit::problem::Problem;
use crate::model::account::{Caller, DeviceInfo, Password, Username};
use crate::model::ids::DeviceId;
use crate::model::name::{Name, is_name};
use crate::model::rate_limit::Subject;
use crate::model::validators::is_username;
use crate::model::wire::user::{Platform, User};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The device that logs in.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// A human-readable name, 1 to 64 Unicode code points, with the same rules as a display name.
    #[garde(inner(custom(is_name(64))))]
    #[schema(value_type = Option<String>, example = "Ann's laptop", min_length = 1, max_length = 64)]
    name: Option<Name>,
    /// The kind of program. Default: `other`.
    #[garde(skip)]
    platform: Option<Platform>,
}

/// The device that logs in: a new one, or an existing one of the user.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginDevice {
    /// The id of an existing device of the user, to reuse it. Any other id creates a new device.
    #[garde(skip)]
    id: Option<DeviceId>,
    /// A human-readable name, 1 to 64 Unicode code points, with the same rules as a display name.
    #[garde(inner(custom(is_name(64))))]
    #[schema(value_type = Option<String>, example = "Ann's laptop", min_length = 1, max_length = 64)]
    name: Option<Name>,
    /// The kind of program. Default: `other`.
    #[garde(skip)]
    platform: Option<Platform>,
}

/// A new account.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ann", "password": "correct horse", "display_name": "Ann",
    "device": {"name": "Ann's laptop", "platform": "web"}}))]
pub struct RegisterRequest {
    /// 3 to 32 characters of `a-z`, `0-9`, `_`, `.` and `-`, after lower-casing, without `deleted-` at the beginning. Unique.
    #[garde(custom(is_username))]
    #[schema(example = "ann", pattern = "^[A-Za-z0-9_.-]{3,32}$")]
    username: String,
    /// 8 to 128 Unicode code points. It is normalized to NFC, so that all keyboards enter the same password.
    #[garde(custom(is_password))]
    #[schema(example = "correct horse", min_length = 8, max_length = 128)]
    password: String,
    /// The name that other people see. Default: the username. 1 to 64 Unicode code points, after leading and trailing white space
    /// is removed, at least one of them visible. Control characters, line breaks and text direction overrides (U+202D, U+202E)
    /// are not allowed.
    #[garde(inner(custom(is_name(64))))]
    #[schema(value_type = Option<String>, example = "Ann", min_length = 1, max_length = 64)]
    display_name: Option<Name>,
    /// The device that signs up.
    #[garde(dive)]
    device: Option<NewDevice>,
}

/// A login.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ann", "password": "correct horse",
    "device": {"name": "Ann's laptop", "platform": "web"}}))]
pub struct LoginRequest {
    /// The username, in any case.
    #[garde(skip)]
    #[schema(example = "ann")]
    username: String,
    /// The user's password.
    #[garde(skip)]
    #[schema(example = "correct horse")]
    password: String,
    /// The device that logs in.
    #[garde(dive)]
    device: Option<LoginDevice>,
}

/// A refresh.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "q2J1cmVmcmVzaHRva2Vub2ZhbmV4YW1wbGVvbmx5"}))]
pub struct RefreshRequest {
    /// The newest refresh token of this device.
    #[garde(skip)]
    refresh_token: String,
}

/// A signed-in device.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionBody {
    /// The user of the session.
    user: User,
    /// The id of the device. Send it as `device.id` to log in again on the same installation.
    device_id: DeviceId,
    /// The token for `Authorization: Bearer …`.
    access_token: String,
    /// The lifetime of the access token, in seconds.
    #[schema(example = 900)]
    expires_in: u64,
    /// The token for the next session. It can be used once.
    refresh_token: String,
    /// The lifetime of the refresh token, in seconds.
    #[schema(example = 2_592_000)]
    refresh_expires_in: u64,
}

impl From<Session> for SessionBody {
    fn from(session: Session) -> Self {
        Self {
            user: session.user,
            device_id: session.device,
            access_token: session.access_token,
            expires_in: session.access_life.as_secs(),
            refresh_token: session.refresh_token,
            refresh_expires_in: session.refresh_life.as_secs(),
        }
    }
}

/// A rule for garde: a new password.
pub fn is_password(text: &str, _: &()) -> garde::Result {
    Password::parse(text.to_owned())
        .map(drop)
        .ok_or_else(|| garde::Error::new(Password::RULE))
}

/// Sign up
///
/// Creates an account and logs it in on one device. If the response is lost, a repeat may answer `conflict`: then log in.
#[utoipa::path(post, path = "/v1/auth/register", tag = "Accounts", request_body = RegisterRequest,
    responses((status = 201, description = "The account and its first session", body = SessionBody,
        headers(("Location" = String, description = "The user")))),
    security(()), extensions(("x-problems" = json!(["forbidden", "conflict"]))))]
pub async fn register_user(
    request: HttpRequest,
    auth: Handle<Auth>,
    guest: Guest,
    Body(body): Body<RegisterRequest>,
) -> Result<HttpResponse, Problem> {
    let name = Username::new_name(&body.username)
        .ok_or_else(|| Problem::invalid(vec![Violation::new("/username", Username::RULE)]))?;
    let password = Password::parse(body.password)
        .ok_or_else(|| Problem::invalid(vec![Violation::new("/password", Password::RULE)]))?;
    let device = body.device.unwrap_or_default();
    let info = DeviceInfo {
        name: device.name.map(String::from),
        platform: device.platform,
    };
    let display_name = body.display_name.map(String::from);
    charge_more(
        &request,
        &Subject::address(guest.address),
        PASSWORD_COST - 1,
    )
    .await?;
    let session = sessions::register(&auth, name, password, display_name, info).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/v1/users/{}", session.user.id)))
        .json(SessionBody::from(session)))
}

/// Log in
///
/// Logs in on a new device, or again on an existing device of the user (`device.id`). An account that its owner has deactivated or
/// deleted, and that is not erased yet, is in use again.
#[utoipa::path(post, path = "/v1/auth/login", tag = "Accounts", request_body = LoginRequest,
    responses((status = 200, description = "A session", body = SessionBody)),
    security(()), extensions(("x-problems" = json!(["invalid_credentials", "user_deactivated"]))))]
pub async fn login_user(
    request: HttpRequest,
    auth: Handle<Auth>,
    guest: Guest,
    Body(body): Body<LoginRequest>,
) -> Result<web::Json<SessionBody>, Problem> {
    let device = body.device.unwrap_or_default();
    let info = DeviceInfo {
        name: device.name.map(String::from),
        platform: device.platform,
    };
    let name = Username::parse(&body.username);
    if let Some(name) = &name {
        let subject = Subject::Login(name.as_str().to_owned());
        charge(&request, &subject).await?;
    }
    charge_more(
        &request,
        &Subject::address(guest.address),
        PASSWORD_COST - 1,
    )
    .await?;
    let password = Password::typed(body.password).ok_or(Error::InvalidCredentials)?;
    let session = sessions::login(&auth, name, password, device.id, info).await?;
    Ok(web::Json(session.into()))
}

/// Refresh the session
///
/// Rotates the refresh token. If the response is lost, repeat the request with the same token: it returns the same successor
/// for 60 seconds, unless the new refresh token or the new access token was used. Any later use of a spent token logs the
/// device out.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "Accounts", request_body = RefreshRequest,
    responses((status = 200, description = "The next session", body = SessionBody)),
    security(()), extensions(("x-problems" = json!(["refresh_invalid", "device_revoked"]))))]
pub async fn refresh_session(
    auth: Handle<Auth>,
    _: Guest,
    Body(body): Body<RefreshRequest>,
) -> Result<web::Json<SessionBody>, Problem> {
    let session = sessions::refresh(&auth, &body.refresh_token).await?;
    Ok(web::Json(session.into()))
}

/// Log out
///
/// Logs this device out: its tokens become invalid, and its wait ends.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "Accounts",
    responses((status = 204, description = "Logged out")))]
pub async fn logout_session(auth: Handle<Auth>, caller: Caller) -> Result<HttpResponse, Problem> {
    sessions::logout(&auth, caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

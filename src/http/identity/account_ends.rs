//! The end of the caller's account.

use crate::domain::identity::account_ends;
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::http::kit::extractors::{Body, Handle, PASSWORD_COST, charge, charge_more};
use crate::http::kit::problem::Problem;
use crate::model::account::{Caller, Password};
use crate::model::rate_limit::Subject;
use crate::model::time::Timestamp;
use actix_web::{HttpRequest, HttpResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The proof that the owner of the account asks.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse"}))]
pub struct EndAccountRequest {
    /// The user's password. An account without a password leaves it out, and needs a session that began less than ten minutes ago.
    #[garde(skip)]
    #[schema(example = "correct horse")]
    password: Option<String>,
}

/// An account that will be erased.
#[derive(Serialize, ToSchema)]
pub struct AccountDeletion {
    /// When the account is erased, unless its owner logs in before.
    erase_at: Timestamp,
}

/// Limited as a login is, so that a stolen access token cannot be used to guess the password.
async fn proof(
    request: &HttpRequest,
    caller: Caller,
    body: EndAccountRequest,
) -> Result<Option<Password>, Problem> {
    let subject = Subject::Login(caller.user.to_string());
    charge(request, &subject).await?;
    charge_more(request, &Subject::User(caller.user), PASSWORD_COST - 1).await?;
    let typed = |text| Password::typed(text).ok_or(Error::InvalidCredentials);
    Ok(body.password.map(typed).transpose()?)
}

/// Deactivate the caller's account
///
/// Logs all devices out. Until the next login the account is not found by search, new direct conversations with it are
/// `not_accepted`, and nobody adds it to groups or channels. Messages in its conversations are stored. Its seats at service desks end:
/// `conflict` if a desk would have no admin left.
#[utoipa::path(post, path = "/v1/me/deactivate", tag = "Accounts", request_body = EndAccountRequest,
    responses((status = 204, description = "Deactivated, and logged out")),
    extensions(("x-problems" = json!(["invalid_credentials", "conflict"]))))]
pub async fn deactivate_me(
    request: HttpRequest,
    auth: Handle<Auth>,
    caller: Caller,
    Body(body): Body<EndAccountRequest>,
) -> Result<HttpResponse, Problem> {
    let password = proof(&request, caller, body).await?;
    account_ends::deactivate(&auth, caller, password).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Delete the caller's account
///
/// Deactivates the account, and erases it at `erase_at`. A login before calls that off, but brings no seat at a service desk back. `conflict`
/// if a desk would have no admin left. Erased, the account leaves its groups and
/// channels, and is shown with `deleted: true` and without a name. Its messages and direct conversations stay. Its username can be
/// taken by nobody for 180 days.
#[utoipa::path(delete, path = "/v1/me", tag = "Accounts", request_body = EndAccountRequest,
    responses((status = 202, description = "Deactivated, logged out, and to be erased", body = AccountDeletion)),
    extensions(("x-problems" = json!(["invalid_credentials", "conflict"]))))]
pub async fn delete_me(
    request: HttpRequest,
    auth: Handle<Auth>,
    caller: Caller,
    Body(body): Body<EndAccountRequest>,
) -> Result<HttpResponse, Problem> {
    let password = proof(&request, caller, body).await?;
    let erase_at = account_ends::delete(&auth, caller, password).await?;
    Ok(HttpResponse::Accepted().json(AccountDeletion { erase_at }))
}

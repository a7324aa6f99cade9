//! Who may do what: the role of a credential, the scope of a token, and IAM policies from a resource up to its project.

mod custom;
mod permissions;
mod policies;
mod resource;
mod roles;

use binauthz_core::time::UnixTime;
use binauthz_store::Unavailable;
use binauthz_wire::status;

pub(crate) use custom::{CustomRole, project_of_role};
pub(crate) use permissions::{all as every_permission, is_pattern, known, matches, reads};
pub(crate) use policies::Policies;
pub(crate) use resource::{On, named};
pub(crate) use roles::{PREDEFINED, Predefined};

use crate::app::App;
use crate::auth::{Caller, Role};
use crate::control::error::ApiError;

/// Whether a caller has a permission.
pub(crate) async fn allows(
    app: &App,
    caller: &Caller,
    permission: &str,
    on: On<'_>,
    now: UnixTime,
) -> Result<bool, Unavailable> {
    if !caller.reaches(permission, on) {
        return Ok(false);
    }
    match caller.role() {
        Role::Admin => return Ok(true),
        Role::Viewer if reads(permission) => return Ok(true),
        Role::Viewer | Role::Member => {}
    }
    for name in on.chain() {
        let granted = app.policies.of(app, name).await?;
        if granted.grants(caller.names(), permission, now) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses a caller without a permission.
pub(crate) async fn require(
    app: &App,
    caller: &Caller,
    permission: &str,
    on: On<'_>,
    now: UnixTime,
) -> Result<(), ApiError> {
    match allows(app, caller, permission, on, now).await? {
        true => Ok(()),
        false => Err(denied(caller, permission, on)),
    }
}

/// Says what is missing where, and not whether it is there.
pub(crate) fn denied(caller: &Caller, permission: &str, on: On<'_>) -> ApiError {
    let service = match permission.split('.').next().unwrap_or_default() {
        "resourcemanager" => "cloudresourcemanager",
        service => service,
    };
    let domain = format!("{service}.googleapis.com");
    let (principal, mut metadata) = (caller.principal(), vec![("permission", permission)]);
    let (place, resource) = match on {
        On::Installation => (String::new(), None),
        On::Resource(name) => (
            format!(" on `{name}` (or it does not exist)"),
            Some(format!("//{domain}/{name}")),
        ),
    };
    metadata.extend(resource.as_deref().map(|resource| ("resource", resource)));
    let message = format!("`{principal}` lacks the permission `{permission}`{place}");
    ApiError::permission_denied(message).with_detail(status::error_info(
        "IAM_PERMISSION_DENIED",
        &domain,
        &metadata,
    ))
}

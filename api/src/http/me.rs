//! Who asks: the caller's own token, so that a client offers only what its role may do. Not the
//! list of tokens.

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{Nothing, Params};
use crate::tokens::{Permission, Principal};

/// The caller's token.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// The token's id, which is not its secret.
    id: String,
    /// Its name, as the history of a finding shows it.
    name: String,
    role: &'static str,
    /// What the role may do: `resource:verb`.
    permissions: Vec<&'static str>,
}

/// Whose token this is, and what it may do
#[utoipa::path(
    get, path = "/api/v1/me", tag = "service", operation_id = "me",
    responses((status = 200, description = "The token.", body = Me, example = json!({
        "id": "k3v9", "name": "ann", "role": "viewer",
        "permissions": ["findings:read", "rules:read", "sources:read"]
    })))
)]
pub(super) async fn me(
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
) -> Json<Me> {
    let role = principal.role;
    let permissions = Permission::ALL.into_iter().filter(|p| role.may(*p));
    Json(Me {
        id: principal.id,
        name: principal.name,
        role: role.name(),
        permissions: permissions.map(Permission::name).collect(),
    })
}

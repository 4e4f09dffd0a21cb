//! Tables and columns that rules and hunts can use, from the one schema file.

use axum::Json;
use serde::Serialize;
use sluice_event::Schema;
use utoipa::ToSchema;

use super::params::{Nothing, Params};

/// All tables.
#[derive(Serialize, ToSchema)]
#[schema(as = TableList)]
pub(super) struct Tables {
    items: Vec<Table>,
}

/// A table.
#[derive(Serialize, ToSchema)]
struct Table {
    name: String,
    columns: Vec<Column>,
}

/// A column.
#[derive(Serialize, ToSchema)]
struct Column {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    description: &'static str,
    /// The values it can have, if they are few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<&'static str>,
    /// Rules cannot read it: people, time or the order of arrival change it after the fact.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hunts_only: bool,
}

/// Tables and columns
#[utoipa::path(
    get, path = "/api/v1/schema", tag = "hunts", operation_id = "list_tables",
    responses((status = 200, description = "Every table.", body = Tables, example = json!({
        "items": [{"name": "authentication", "columns": [
            {"name": "time", "type": "timestamp", "description": "When it happened."}
        ]}]
    })))
)]
pub(super) async fn list(Params(Nothing {}): Params<Nothing>) -> Json<Tables> {
    let items = Schema::all()
        .map(|table| Table {
            name: table.name.to_string(),
            columns: table
                .columns
                .iter()
                .map(|c| Column {
                    name: c.name,
                    kind: c.kind.name(),
                    description: c.description,
                    values: c.values.to_vec(),
                    hunts_only: c.hunts_only,
                })
                .collect(),
        })
        .collect();
    Json(Tables { items })
}

//! The ATT&CK tactics and techniques that rules can name. Not which rules cover them: the list of
//! rules says that.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{Nothing, Params};

/// The matrix without its cells.
#[derive(Serialize, ToSchema)]
pub(super) struct AttackTable {
    /// In the order of the matrix.
    tactics: Vec<AttackTactic>,
    /// In the order of ids; those that ATT&CK withdrew are left out.
    techniques: Vec<AttackTechnique>,
}

/// A tactic.
#[derive(Serialize, ToSchema)]
struct AttackTactic {
    id: &'static str,
    name: &'static str,
}

/// A technique or sub-technique.
#[derive(Serialize, ToSchema)]
struct AttackTechnique {
    id: &'static str,
    /// Of a sub-technique without that of its parent.
    name: &'static str,
    /// Ids of the tactics it serves.
    tactics: Vec<&'static str>,
}

/// ATT&CK tactics and techniques
#[utoipa::path(
    get, path = "/api/v1/attack", tag = "rules", operation_id = "list_attack",
    responses((status = 200, description = "All of them.", body = AttackTable, example = json!({
        "tactics": [{"id": "TA0006", "name": "Credential Access"}],
        "techniques": [{
            "id": "T1621", "name": "Multi-Factor Authentication Request Generation",
            "tactics": ["TA0006"]
        }]
    })))
)]
pub(super) async fn list(Params(Nothing {}): Params<Nothing>) -> Json<AttackTable> {
    Json(table())
}

fn table() -> AttackTable {
    let current = || sluice_rule::attacks().filter(|row| row.replaced_by.is_none());
    let techniques: Vec<AttackTechnique> = current()
        .filter(|row| !row.tactics.is_empty())
        .map(|row| AttackTechnique { id: row.id, name: row.name, tactics: row.tactics.clone() })
        .collect();
    let mut tactics: Vec<AttackTactic> = current()
        .filter(|row| row.id.starts_with("TA"))
        .map(|row| AttackTactic { id: row.id, name: row.name })
        .collect();
    tactics.sort_by_key(|tactic| matrix_place(tactic.id));
    AttackTable { tactics, techniques }
}

/// Where the tactic stands in the matrix: an order of its own, not that of the ids.
fn matrix_place(id: &str) -> usize {
    MATRIX.iter().position(|tactic| *tactic == id).unwrap_or(MATRIX.len())
}

/// The Enterprise tactics in the order of the matrix at attack.mitre.org.
const MATRIX: [&str; 15] = [
    "TA0043", "TA0042", "TA0001", "TA0002", "TA0003", "TA0004", "TA0005", "TA0112", "TA0006",
    "TA0007", "TA0008", "TA0009", "TA0011", "TA0010", "TA0040",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tactic_has_its_place_and_every_technique_a_tactic() {
        let table = table();
        assert!(table.techniques.len() > 200);
        for tactic in &table.tactics {
            assert!(MATRIX.contains(&tactic.id), "{} has no place in the matrix", tactic.id);
        }
        assert_eq!(table.tactics.len(), MATRIX.len());
        for technique in &table.techniques {
            let known = |id: &&str| MATRIX.contains(id);
            assert!(technique.tactics.iter().all(known), "{}", technique.id);
        }
    }
}

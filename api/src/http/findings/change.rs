//! A change of triage as a request writes it.

use serde::{Deserialize, Deserializer};
use sluice_finding::{Reason, TriageChange, TriageStatus};
use utoipa::ToSchema;

use super::super::problem::{Code, Fault, Problem};
use crate::terminal::acts;

/// What to change; what is not given stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Change {
    /// `new`, `in_progress` or `resolved`.
    status: Option<String>,
    /// Why; with `resolved`: `true_positive`, `false_positive`, `benign` or `duplicate`.
    reason: Option<String>,
    /// Who works on it; null: nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    /// A remark.
    comment: Option<String>,
}

const ASSIGNEE_BYTES: usize = 128;
const COMMENT_BYTES: usize = 4096;

impl Change {
    /// From its parts.
    pub(super) fn new(
        status: Option<String>,
        reason: Option<String>,
        assignee: Option<Option<String>>,
        comment: Option<String>,
    ) -> Change {
        Change { status, reason, assignee, comment }
    }

    /// The change, its words known and its texts bounded.
    pub(super) fn checked(self) -> Result<TriageChange, Problem> {
        let status = word("status", self.status, TriageStatus::parse, || {
            TriageStatus::ALL.map(TriageStatus::name).join(", ")
        })?;
        let reason = word("reason", self.reason, Reason::parse, || {
            Reason::ALL.map(Reason::name).join(", ")
        })?;
        texts(self.assignee.as_ref(), self.comment.as_deref())?;
        Ok(TriageChange { status, reason, assignee: self.assignee, comment: self.comment })
    }
}

/// Checks the texts of a change: who takes something, and a remark.
pub(in super::super) fn texts(
    assignee: Option<&Option<String>>,
    comment: Option<&str>,
) -> Result<(), Problem> {
    if let Some(Some(assignee)) = assignee
        && (assignee.trim().is_empty()
            || assignee.len() > ASSIGNEE_BYTES
            || assignee.chars().any(acts))
    {
        return Err(invalid(
            "assignee",
            format!(
                "assignee has 1 to {ASSIGNEE_BYTES} bytes, no control characters and no \
                 characters that reorder text"
            ),
        ));
    }
    if let Some(comment) = comment
        && (comment.len() > COMMENT_BYTES
            || comment.chars().any(|c| c.is_control() && c != '\n' && c != '\t'))
    {
        return Err(invalid(
            "comment",
            format!(
                "comment has at most {COMMENT_BYTES} bytes, and line breaks and tabs as its \
                 only control characters"
            ),
        ));
    }
    Ok(())
}

/// A change as the audit log has it: not the remark, which is in the history of the finding.
pub(super) fn recorded(change: &TriageChange) -> serde_json::Value {
    serde_json::json!({
        "status": change.status.map(TriageStatus::name), "reason": change.reason.map(Reason::name),
        "assignee": change.assignee, "comment": change.comment.is_some(),
    })
}

/// Tells a field that is null from one that is not there.
pub(in super::super) fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

fn word<T>(
    name: &str,
    text: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    all: impl Fn() -> String,
) -> Result<Option<T>, Problem> {
    text.map(|text| {
        parse(&text)
            .ok_or_else(|| invalid(name, format!("`{text}` is no {name}: it is one of {}", all())))
    })
    .transpose()
}

fn invalid(field: &str, detail: String) -> Problem {
    let pointer = Some(format!("/{field}"));
    let fault = Fault { pointer, detail: detail.clone(), ..Fault::default() };
    Problem::new(Code::InvalidBody, detail).errors(vec![fault])
}

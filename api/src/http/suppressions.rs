//! Suppressions: the list, a new one, and ending one before its time. Not which findings one applies to
//! (see `sluice_finding`).

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice_engine::durable::{StoredSuppression, SuppressionError};
use sluice_event::rfc3339;
use sluice_finding::{SuppressionMatch, SuppressionRefused};
use sluice_rule::parse_duration;
use utoipa::ToSchema;

use super::{
    audit::Detail,
    body,
    params::{Nothing, Params},
    problem::{Code, Problem},
    risk::entity,
    shared::{Inside, Shared},
};
use crate::tokens::Principal;

/// The longest suppression.
const LONGEST: i64 = 366 * 86_400_000;
/// Characters of owner, reason and each part of what it applies to.
const TEXT: usize = 1_000;

/// Suppressions.
#[derive(Serialize, ToSchema)]
pub(super) struct Suppressions {
    /// The newest first, those that are over included.
    items: Vec<SuppressionView>,
}

/// A suppression.
#[derive(Serialize, ToSchema)]
#[schema(as = Suppression)]
pub(super) struct SuppressionView {
    /// 32 hex digits.
    id: String,
    /// Findings of this rule.
    #[schema(required)]
    rule: Option<String>,
    /// Findings about this entity, `kind:id`.
    #[schema(required)]
    entity: Option<String>,
    /// Findings with this value in this column.
    #[schema(required)]
    field: Option<Field>,
    /// Who answers for it.
    owner: String,
    reason: String,
    from: String,
    until: String,
    /// Whether it is over.
    over: bool,
    /// Findings it applied to.
    hits: u64,
    /// Event time of the latest of them.
    #[schema(required)]
    last_hit: Option<String>,
    /// The token that made it.
    created_by: String,
    /// The token that ended it before its time.
    #[schema(required)]
    ended_by: Option<String>,
}

/// A value of a column.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SuppressedField)]
struct Field {
    /// A column that the rule selects.
    name: String,
    /// Its value: a text, a number, true, false or null.
    #[schema(value_type = Value)]
    value: Value,
}

/// A suppression to make: at least one of rule, entity and field; all that are given must hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSuppression {
    /// The id of a rule or baseline.
    rule: Option<String>,
    /// `kind:id`.
    entity: Option<String>,
    field: Option<Field>,
    /// Who answers for it; the token's name if not given.
    owner: Option<String>,
    /// Why.
    reason: String,
    /// How long, `30d`, at most `366d`.
    expires_in: String,
}

/// Suppressions, the newest first
#[utoipa::path(
    get, path = "/api/v1/suppressions", tag = "incidents", operation_id = "list_suppressions",
    responses((status = 200, description = "All of them.", body = Suppressions, example = json!({
        "items": [{"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "rule": "identity.mfa_fatigue",
            "entity": "user:ann@example.com", "field": null, "owner": "ann", "reason": "new phone",
            "from": "2026-11-24T08:00:00.000Z", "until": "2026-12-24T08:00:00.000Z", "over": false,
            "hits": 3, "last_hit": "2026-11-24T09:00:00.000Z", "created_by": "ann",
            "ended_by": null}]
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Suppressions>, Problem> {
    let store = shared.app.store.clone();
    let now = store.now();
    let mut all = shared.pools.reads.run(move || store.suppressions()).await?;
    all.sort_by_key(|s| (std::cmp::Reverse(s.suppression.from), s.id));
    Ok(Json(Suppressions { items: all.iter().map(|s| SuppressionView::of(s, now)).collect() }))
}

/// Suppress findings from now on
///
/// They are kept, shown and counted as hits; they weigh nothing and open no incident. Findings of before
/// stay as they are.
#[utoipa::path(
    post, path = "/api/v1/suppressions", tag = "incidents", operation_id = "suppress",
    request_body(content = NewSuppression, example = json!({
        "rule": "identity.mfa_fatigue", "entity": "user:ann@example.com", "reason": "new phone",
        "expires_in": "30d"
    })),
    responses(
        (status = 201, description = "The suppression.", body = SuppressionView, example = json!({
            "id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "rule": "identity.mfa_fatigue",
            "entity": "user:ann@example.com", "field": null, "owner": "ann", "reason": "new phone",
            "from": "2026-11-24T08:00:00.000Z", "until": "2026-12-24T08:00:00.000Z", "over": false,
            "hits": 0, "last_hit": null, "created_by": "ann", "ended_by": null
        })),
        (status = 409, description = "There are as many under the name of the token as one may have.",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It makes no sense.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn create(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    body::Json(new): body::Json<NewSuppression>,
) -> Result<(StatusCode, Extension<Detail>, Json<SuppressionView>), Problem> {
    let invalid = |text: String| Problem::new(Code::Unprocessable, text);
    let about = new.entity.as_deref().map(|text| {
        let parts = text.split_once(':');
        let parts = parts.ok_or_else(|| invalid(format!("`{text}` is not `kind:id`")));
        parts.and_then(|(kind, id)| entity(kind, id))
    });
    let length = parse_duration(&new.expires_in)
        .filter(|length| (1..=LONGEST).contains(length))
        .ok_or_else(|| invalid("`expires_in` is a duration up to 366d: \"30d\"".into()))?;
    let owner = new.owner.unwrap_or_else(|| principal.name.clone());
    let field = new.field.map(|field| (field.name, field.value));
    let texts = [
        ("rule", new.rule.as_deref()),
        ("entity", new.entity.as_deref()),
        ("field", field.as_ref().map(|(name, _)| name.as_str())),
        ("value", field.as_ref().and_then(|(_, value)| value.as_str())),
        ("owner", Some(owner.as_str())),
        ("reason", Some(new.reason.as_str())),
    ];
    for (name, text) in texts {
        if text.is_some_and(|text| text.chars().count() > TEXT) {
            return Err(invalid(format!("`{name}` has at most {TEXT} characters")));
        }
    }
    if field.as_ref().is_some_and(|(name, _)| name.trim().is_empty()) {
        return Err(invalid("`name` of `field` is that of a column".into()));
    }
    if field.as_ref().is_some_and(|(_, value)| value.is_object() || value.is_array()) {
        return Err(invalid("`value` is a text, a number, true, false or null".into()));
    }
    let recorded = Detail(json!({
        "rule": new.rule, "entity": new.entity, "field": field.as_ref().map(|(name, _)| name),
        "owner": owner, "expires_in": new.expires_in,
    }));
    let matcher =
        SuppressionMatch { rule: new.rule.map(Into::into), entity: about.transpose()?, field };
    let store = shared.app.store.clone();
    let now = store.now();
    let until = now.saturating_add(length);
    let own = shared.clone();
    let work = move || {
        let _counting = own.shares.counting.lock();
        own.room_for_suppressions(&principal.name)?;
        store.suppress(matcher, &owner, &new.reason, until, &principal.name).map_err(refused)
    };
    let made = shared.pools.writes.run(work).await??;
    Ok((StatusCode::CREATED, Extension(recorded), Json(SuppressionView::of(&made, now))))
}

/// End a suppression now
///
/// It stays in the list with its hits. Findings that it applied to stay as they are.
#[utoipa::path(
    delete, path = "/api/v1/suppressions/{id}", tag = "incidents", operation_id = "end_suppression",
    params(("id" = String, Path, description = "32 hex digits.")),
    responses(
        (status = 200, description = "The suppression, over.", body = SuppressionView,
            example = json!({"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "over": true, "hits": 3,
                "ended_by": "bob"})),
        (status = 404, description = "There is no such suppression.", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "It is over already.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn end(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<SuppressionView>, Problem> {
    let known = id.parse().ok().filter(|_| id.len() == 32);
    let known = known
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no suppression {id}")))?;
    let store = shared.app.store.clone();
    let now = store.now();
    let work = move || store.end_suppression(known, &principal.name);
    let ended = shared.pools.writes.run(work).await?.map_err(refused)?;
    Ok(Json(SuppressionView::of(&ended, now.max(ended.suppression.until))))
}

impl Inside {
    /// Whether a name may have another suppression.
    ///
    /// # Errors
    /// 409, counted.
    pub(super) fn room_for_suppressions(&self, name: &str) -> Result<(), Problem> {
        let most = self.shares.suppressions;
        let all = self.app.store.suppressions();
        let own = all.iter().filter(|stored| stored.created_by == name).count();
        if own < most {
            return Ok(());
        }
        Err(self.counters.share_refused("suppressions", "max_suppressions_per_token", most))
    }
}

/// The problem of a suppression that was not made or ended.
pub(super) fn refused(error: SuppressionError) -> Problem {
    let text = error.to_string();
    match error {
        SuppressionError::NotFound(_) => Problem::new(Code::NotFound, text),
        SuppressionError::Refused(why) => Problem::new(
            Code::Unprocessable,
            match why {
                SuppressionRefused::MatchesAll => {
                    "give a rule, an entity or a field: it would hide everything"
                }
                SuppressionRefused::Ended => "it ends before it begins",
                SuppressionRefused::Unexplained => "owner and reason are not blank",
            },
        ),
        SuppressionError::TooMany | SuppressionError::Ended | SuppressionError::Exists(_) => {
            Problem::new(Code::Unprocessable, text)
        }
        SuppressionError::Store(error) => error.into(),
    }
}

impl SuppressionView {
    fn of(stored: &StoredSuppression, now: i64) -> SuppressionView {
        let StoredSuppression { id, suppression, created_by, ended_by } = stored;
        let SuppressionMatch { rule, entity, field } = &suppression.matcher;
        SuppressionView {
            id: id.to_string(),
            rule: rule.as_ref().map(ToString::to_string),
            entity: entity.as_ref().map(|e| format!("{}:{}", e.kind.name(), e.id)),
            field: field.clone().map(|(name, value)| Field { name, value }),
            owner: suppression.owner.clone(),
            reason: suppression.reason.clone(),
            from: rfc3339(suppression.from),
            until: rfc3339(suppression.until),
            over: suppression.until <= now,
            hits: suppression.hits,
            last_hit: suppression.last_hit.map(rfc3339),
            created_by: created_by.clone(),
            ended_by: ended_by.clone(),
        }
    }
}

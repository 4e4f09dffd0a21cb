//! AuthZEN Authorization API 1.0: evaluation and evaluations. Members that are not known are ignored,
//! as the specification asks. Not the HTTP around it.

use serde_json::{Map, Value, json};
use sluice_event::{EntityKind, rfc3339};

use super::{Action, Decision, Policy};
use crate::{EntityKey, EntityLevel};

/// Evaluations of one request at most.
const MOST: usize = 1_000;

/// Answers one evaluation.
///
/// # Errors
/// What is wrong with the request; it is answered with 400.
pub fn evaluate<'l>(
    body: &Value,
    policy: &Policy,
    level: impl Fn(&EntityKey) -> Option<&'l EntityLevel>,
    stale: Option<i64>,
    now: i64,
) -> Result<Value, String> {
    let request = body.as_object().ok_or("the body is a JSON object")?;
    one(request, policy, &level, stale, now)
}

/// Answers several, in order; `options.evaluations_semantic` may end it early.
///
/// # Errors
/// As [`evaluate`]; one that is wrong refuses the request.
pub fn evaluate_all<'l>(
    body: &Value,
    policy: &Policy,
    level: impl Fn(&EntityKey) -> Option<&'l EntityLevel>,
    stale: Option<i64>,
    now: i64,
) -> Result<Value, String> {
    let request = body.as_object().ok_or("the body is a JSON object")?;
    let list = match request.get("evaluations") {
        // Without a list it is one evaluation.
        None => return one(request, policy, &level, stale, now),
        Some(Value::Array(list)) if list.len() <= MOST => list,
        Some(_) => return Err(format!("`evaluations` is a list of at most {MOST}")),
    };
    let semantic = request.get("options").and_then(|o| o.get("evaluations_semantic"));
    let stop_at = match semantic.map(Value::as_str) {
        None | Some(Some("execute_all")) => None,
        Some(Some("deny_on_first_deny")) => Some(false),
        Some(Some("permit_on_first_permit")) => Some(true),
        Some(_) => return Err("`options.evaluations_semantic` is not known".into()),
    };
    let mut answers = Vec::new();
    for (number, item) in list.iter().enumerate() {
        let item = item.as_object().ok_or(format!("evaluation {number} is no object"))?;
        let mut whole = Map::new();
        for name in ["subject", "action", "resource", "context"] {
            if let Some(value) = item.get(name).or_else(|| request.get(name)) {
                whole.insert(name.into(), value.clone());
            }
        }
        let answer = one(&whole, policy, &level, stale, now)
            .map_err(|e| format!("evaluation {number}: {e}"))?;
        let decision = answer.get("decision").and_then(Value::as_bool);
        answers.push(answer);
        if stop_at.is_some() && decision == stop_at {
            break;
        }
    }
    Ok(json!({"evaluations": answers}))
}

fn one<'l>(
    request: &Map<String, Value>,
    policy: &Policy,
    level: &impl Fn(&EntityKey) -> Option<&'l EntityLevel>,
    stale: Option<i64>,
    now: i64,
) -> Result<Value, String> {
    let text = |object: &str, member: &str| {
        let value = request.get(object).and_then(|o| o.get(member)).and_then(Value::as_str);
        value
            .filter(|t| !t.is_empty())
            .ok_or(format!("`{object}.{member}` is a text and is needed"))
    };
    let kind = text("subject", "type")?;
    let kind = EntityKind::parse(kind).ok_or_else(|| {
        let kinds = EntityKind::ALL.map(EntityKind::name).join(", ");
        format!("`subject.type` is one of {kinds}")
    })?;
    text("action", "name")?;
    text("resource", "type")?;
    let resource = text("resource", "id")?;
    let mut entities = vec![EntityKey { kind, id: text("subject", "id")?.to_lowercase() }];
    let device = request.get("subject").and_then(|s| s.get("properties"));
    if let Some(id) = device.and_then(|p| p.get("device_id")).and_then(Value::as_str) {
        entities.push(EntityKey { kind: EntityKind::Device, id: id.to_lowercase() });
    }
    Ok(answer(&policy.decide(resource, &entities, level), stale, now))
}

/// A decision as the answer to an evaluation: a deny is `false`, and so is what asks for more proof. `stale` is
/// since when an input is silent, milliseconds since 1970.
pub fn answer(decision: &Decision, stale: Option<i64>, now: i64) -> Value {
    json!({
        "decision": decision.action == Action::Allow,
        "context": {
            "action": decision.action.name(),
            "risk_level": decision.level.name(),
            "risk_score": decision.score,
            "risk_age_s": decision.since.map(|since| (now - since).max(0) / 1_000),
            "risk_stale_since": stale.map(rfc3339),
            "reason": decision.reason,
            "quarantined_until": decision.quarantined_until.map(rfc3339),
        },
    })
}

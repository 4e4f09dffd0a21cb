//! Decisions of the pull side.

use std::collections::BTreeMap;

use serde_json::json;
use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, EntityLevel, Level,
    policy::{Action, Policy, Rule, authzen},
};

use crate::support::{START, user};

fn policy() -> Policy {
    Policy::new(vec![
        Rule { prefix: "/public".into(), medium: Action::Allow, high: Action::Allow },
        Rule { prefix: "/admin".into(), medium: Action::Deny, high: Action::Deny },
    ])
}

fn known() -> BTreeMap<EntityKey, EntityLevel> {
    let level = |level| {
        let mut known = EntityLevel::default();
        (known.level, known.changed_at) = (level, START);
        known
    };
    BTreeMap::from([
        (user("med@example.com"), level(Level::Medium)),
        (user("high@example.com"), level(Level::High)),
        (EntityKey { kind: EntityKind::Device, id: "d1".into() }, level(Level::High)),
    ])
}

#[track_caller]
fn decided(path: &str, id: &str, expected: Action) {
    let known = known();
    let decision = policy().decide(path, &[user(id)], |e| known.get(e));
    assert_eq!(decision.action, expected, "{path} {id}: {}", decision.reason);
}

#[test]
fn q4_the_longest_prefix_decides() {
    decided("/", "low@example.com", Action::Allow);
    decided("/app", "med@example.com", Action::StepUp);
    decided("/app", "high@example.com", Action::Deny);
    decided("/public/logo.svg", "high@example.com", Action::Allow);
    decided("/admin", "med@example.com", Action::Deny);
    decided("/admin/users?x=/public", "med@example.com", Action::Deny);
    decided("/administer", "med@example.com", Action::StepUp);
}

#[test]
fn q4_a_path_in_disguise_gets_no_softer_rule() {
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "//admin",
        "/./admin/",
        "/%61dmin",
        "/public/..%2fadmin",
    ] {
        decided(path, "med@example.com", Action::Deny);
    }
    // Servers differ in what they make of these.
    for path in [
        "/public/%252e%252e/admin",
        "/public\\..\\admin",
        "/public;/../admin",
        "/a%zz",
        "/%ff",
        "/%",
    ] {
        decided(path, "med@example.com", Action::Deny);
        decided(path, "low@example.com", Action::Allow);
    }
}

#[test]
fn z4_the_strictest_of_user_and_device_counts() {
    let known = known();
    let device = EntityKey { kind: EntityKind::Device, id: "d1".into() };
    for entities in
        [[user("low@example.com"), device.clone()], [device.clone(), user("low@example.com")]]
    {
        let decision = policy().decide("/app", &entities, |e| known.get(e));
        assert_eq!(decision.action, Action::Deny);
        assert_eq!(decision.entity.as_ref(), Some(&device));
    }
    assert_eq!(policy().decide("/app", &[], |e| known.get(e)).action, Action::Allow);
}

#[test]
fn q6_evaluation() {
    let known = known();
    let ask = |id: &str| {
        let body = json!({
            "subject": {"type": "user", "id": id}, "action": {"name": "read"},
            "resource": {"type": "page", "id": "/app"}, "unknown": 1,
        });
        authzen::evaluate(&body, &policy(), |e| known.get(e), START + 5_000).unwrap()
    };
    assert_eq!(ask("low@example.com")["decision"], true);
    assert_eq!(ask("MED@example.com")["decision"], false);
    let answer = ask("high@example.com");
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["risk_level"], "high");
    assert_eq!(answer["context"]["risk_age_s"], 5);
    assert_eq!(answer["context"]["action"], "deny");
    for body in [
        json!(1),
        json!({}),
        json!({"subject": {"type": "robot", "id": "1"}, "action": {"name": "r"}, "resource": {"type": "p", "id": "/"}}),
        json!({"subject": {"type": "user", "id": ""}, "action": {"name": "r"}, "resource": {"type": "p", "id": "/"}}),
        json!({"subject": {"type": "user", "id": "a"}, "action": {"name": "r"}}),
    ] {
        assert!(authzen::evaluate(&body, &policy(), |e| known.get(e), START).is_err(), "{body}");
    }
}

#[test]
fn q6_evaluations_in_order_with_defaults_and_early_ends() {
    let known = known();
    let ask = |semantic: &str| {
        let body = json!({
            "subject": {"type": "user", "id": "med@example.com"}, "action": {"name": "read"},
            "evaluations": [
                {"resource": {"type": "page", "id": "/public"}},
                {"resource": {"type": "page", "id": "/app"}},
                {"resource": {"type": "page", "id": "/public/x"},
                 "subject": {"type": "user", "id": "low@example.com"}},
            ],
            "options": {"evaluations_semantic": semantic},
        });
        let answer = authzen::evaluate_all(&body, &policy(), |e| known.get(e), START).unwrap();
        let answers = answer["evaluations"].as_array().unwrap().clone();
        answers.iter().map(|a| a["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ask("execute_all"), [true, false, true]);
    assert_eq!(ask("deny_on_first_deny"), [true, false]);
    assert_eq!(ask("permit_on_first_permit"), [true]);
}

//! Decisions of the pull side.

use std::collections::BTreeMap;

use serde_json::json;
use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, EntityLevel, Level,
    policy::{Action, NotReady, Policy, Rule, authzen, opa},
};

use crate::support::{START, user};

fn policy() -> Policy {
    let rule = |prefix: &str, action, not_ready| Rule {
        prefix: prefix.into(),
        medium: action,
        high: action,
        not_ready,
    };
    let rules = vec![
        rule("/public", Action::Allow, Some(NotReady::Allow)),
        rule("/admin", Action::Deny, Some(NotReady::Deny)),
    ];
    Policy::new(rules, NotReady::Error)
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
        authzen::evaluate(&body, &policy(), |e| known.get(e), Some(START), START + 5_000).unwrap()
    };
    assert_eq!(ask("low@example.com")["decision"], true);
    // H5: since when an input is silent.
    let stale = &ask("low@example.com")["context"]["risk_stale_since"];
    assert_eq!(stale, "2026-01-01T00:00:00.000Z");
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
        assert!(
            authzen::evaluate(&body, &policy(), |e| known.get(e), None, START).is_err(),
            "{body}"
        );
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
        let answer =
            authzen::evaluate_all(&body, &policy(), |e| known.get(e), None, START).unwrap();
        let answers = answer["evaluations"].as_array().unwrap().clone();
        answers.iter().map(|a| a["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ask("execute_all"), [true, false, true]);
    assert_eq!(ask("deny_on_first_deny"), [true, false]);
    assert_eq!(ask("permit_on_first_permit"), [true]);
}

#[test]
fn n11_what_is_answered_without_levels_is_a_matter_of_the_resource() {
    for (path, expected) in [
        ("/app", NotReady::Error),
        ("/public/logo.svg", NotReady::Allow),
        ("/admin/users", NotReady::Deny),
        ("/public/../admin", NotReady::Deny),
        ("/public/%252e", NotReady::Deny),
    ] {
        assert_eq!(policy().not_ready(path), expected, "{path}");
    }
}

#[test]
fn q7_a_bundle_holds_who_is_not_low_and_is_the_same_for_the_same_levels() {
    let known = known();
    let bundle = opa::bundle(&known);
    assert_eq!(bundle, opa::bundle(&known));
    assert_eq!(bundle.tar.len() % 512, 0);
    // Name, size and bytes of each file, as tar reads them.
    let mut files = BTreeMap::new();
    let mut rest = bundle.tar.as_slice();
    while rest[0] != 0 {
        let text = |from: usize, to: usize| {
            String::from_utf8_lossy(&rest[from..to]).trim_end_matches(['\0', ' ']).to_owned()
        };
        let size = usize::from_str_radix(&text(124, 135), 8).unwrap();
        let sum: u32 =
            (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u32::from(rest[i]) }).sum();
        assert_eq!(u32::from_str_radix(&text(148, 154), 8), Ok(sum));
        let json: serde_json::Value = serde_json::from_slice(&rest[512..512 + size]).unwrap();
        files.insert(text(0, 100), json);
        rest = &rest[512 + size.next_multiple_of(512)..];
    }
    let manifest = json!({"revision": bundle.revision, "roots": ["sluice/risk"]});
    assert_eq!(files[".manifest"], manifest);
    let risk = &files["data.json"]["sluice"]["risk"];
    assert_eq!(risk["user"]["high@example.com"]["level"], "high");
    assert_eq!(risk["device"]["d1"]["since"], "2026-01-01T00:00:00.000Z");
    let mut fallen = known.clone();
    fallen.get_mut(&user("high@example.com")).unwrap().level = Level::Low;
    let after = opa::bundle(&fallen);
    assert_ne!(after.revision, bundle.revision);
    assert!(!String::from_utf8_lossy(&after.tar).contains("high@example.com"));
}

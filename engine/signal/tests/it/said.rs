//! What findings say to receivers by themselves: E5, E6 and E7 from rules.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_event::EntityKind;
use sluice_signal::{
    AfterMute, EntityKey, EventType, Mute, MutePurpose, Profile, Settings,
    transmitter::{HISTORY_PREFIX, HistoryRow, Said},
};

use crate::support::{Bench, MINUTE, event, http, push_profile, settings, user};

fn said(finding: &str, event_type: EventType, members: Value) -> Said {
    Said {
        finding: finding.to_owned(),
        rule: "identity.factor_added".into(),
        entity: user("ann@example.com"),
        event_type,
        members: members.as_object().unwrap().clone(),
        at: 1_767_225_500_000,
    }
}

fn say(bench: &mut Bench, said: &Said) {
    let now = bench.now;
    bench.transmitter.say(said, now);
    bench.commit();
}

fn all(bench: &mut Bench) -> Vec<(EventType, Value)> {
    let mut sets = Vec::new();
    while let Some((attempt, set)) = bench.pushed() {
        bench.answer(&attempt, &http(202));
        assert_eq!(set.claims["sub_id"], json!({"format": "email", "email": "ann@example.com"}));
        sets.push((set.known[0], event(&set).clone()));
    }
    sets
}

fn rows(bench: &Bench, action: &str) -> Vec<HistoryRow> {
    let rows = bench.disk.iter().filter(|(key, _)| key.starts_with(HISTORY_PREFIX));
    let rows = rows.map(|(_, row)| serde_json::from_slice::<HistoryRow>(row).unwrap());
    rows.filter(|row| row.action == action).collect()
}

#[test]
fn e5_e6_e7_are_said_once_of_a_finding_also_over_a_crash_and_when_it_grows() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    let change = json!({"credential_type": "app", "change_type": "create"});
    let one = said("f1", EventType::CredentialChange, change);
    let claims = json!({"claims": {"target_role": "Super administrator"}});
    let two = said("f2", EventType::TokenClaimsChange, claims);
    let three = said("f3", EventType::CredentialCompromise, json!({"credential_type": "password"}));
    for said in [&one, &two, &three, &one] {
        say(&mut bench, said);
    }
    let sets = all(&mut bench);
    let types: Vec<EventType> = sets.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(types, [one.event_type, two.event_type, three.event_type]);
    let first = &sets[0].1;
    assert_eq!(
        (&first["change_type"], &first["initiating_entity"]),
        (&json!("create"), &json!("policy"))
    );
    assert_eq!(first["event_timestamp"], 1_767_225_500);
    assert_eq!(first["reason_admin"], json!({"en": "identity.factor_added"}));
    assert_eq!(sets[1].1["claims"]["target_role"], "Super administrator");

    bench.restart();
    bench.now += 5 * MINUTE;
    say(&mut bench, &one);
    assert_eq!(all(&mut bench), []);
    // Another finding, and the same one about somebody else, are other causes.
    let mut other =
        said("f4", one.event_type, json!({"credential_type": "app", "change_type": "delete"}));
    say(&mut bench, &other);
    assert_eq!(all(&mut bench).len(), 1);
    other.entity = EntityKey { kind: EntityKind::User, id: "bob@example.com".into() };
    say(&mut bench, &other);
    assert!(bench.pushed().is_some());
}

#[test]
fn e5_what_is_not_well_formed_or_too_much_is_in_the_history_and_not_sent() {
    let mut bench =
        Bench::with(Settings { storm_limit: 2, ..settings() }, vec![push_profile("idp")]);
    say(&mut bench, &said("f0", EventType::CredentialChange, json!({"credential_type": "key"})));
    assert_eq!(all(&mut bench), []);
    let unsaid = rows(&bench, "unsaid");
    assert!(unsaid[0].detail.as_deref().unwrap().contains("credential_type"), "{unsaid:?}");
    bench.now += 11 * MINUTE;
    for n in 1..=4 {
        let of = json!({"credential_type": "password"});
        say(&mut bench, &said(&format!("f{n}"), EventType::CredentialCompromise, of));
    }
    assert_eq!((all(&mut bench).len(), rows(&bench, "unsaid").len()), (2, 3));
    assert_eq!(bench.transmitter.totals().dropped, 2);
}

#[test]
fn e7_waits_for_approval_and_is_muted_as_rises_are() {
    let careful = Profile { approval: true, ..push_profile("idp") };
    let mut bench = Bench::new(vec![careful]);
    let stolen = json!({"credential_type": "password"});
    say(&mut bench, &said("f1", EventType::CredentialCompromise, stolen.clone()));
    assert_eq!(all(&mut bench), []);
    let (id, now) = (bench.push_stream(), bench.now);
    bench.transmitter.approve(&id, None, true, "bob", "by phone", now).unwrap();
    bench.commit();
    assert_eq!(all(&mut bench).len(), 1);

    let mute = Mute {
        id: "one".into(),
        purpose: MutePurpose::Maintenance,
        entities: BTreeSet::from(["user:*".to_owned()]),
        receivers: BTreeSet::new(),
        reason: "passwords are set anew".into(),
        by: "bob".into(),
        from: now,
        until: now + MINUTE,
        then: AfterMute::Tell,
        muted: 0,
    };
    bench.transmitter.mute(mute, now).unwrap();
    say(&mut bench, &said("f2", EventType::CredentialCompromise, stolen));
    assert_eq!((all(&mut bench), rows(&bench, "muted").len()), (vec![], 1));
}

//! What is told of an entity beside its peers: read from exported state, with the group it is scored by.

use std::collections::BTreeMap;

use sluice_baseline::{
    Baseline, Comparison, FeatureKind, POLICY, PeerSource, Spec, StateError, Unit,
};

use crate::{
    peers::teams,
    support::{Event, MONDAY, only, organisation, run, spec},
};

/// What a checkpoint would have of the baseline.
fn exported(spec: &Spec, events: &[Event]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut baseline = Baseline::new(spec.clone(), POLICY, 2);
    run(&mut baseline, events, 0, 50);
    let entries = baseline.export(true);
    entries.into_iter().filter_map(|e| Some((e.key, e.value?))).collect()
}

fn compare(spec: &Spec, events: &[Event], entity: &str) -> Option<Comparison> {
    let state = exported(spec, events);
    Comparison::read(spec, entity, &mut |key| state.get(key).cloned()).ok().flatten()
}

#[test]
fn the_group_its_members_and_where_an_entity_differs_from_them_are_told() {
    let events = teams(5, 40);
    for (directory, name) in [(true, "team 0"), (false, "group ")] {
        let peers = PeerSource { directory, learned: !directory };
        let spec = Spec { peers, ..only(FeatureKind::Categorical) };
        let told = compare(&spec, &events, "p0").unwrap();
        let of = told.group.clone().expect("it is in a group");
        assert!(of.group.name.starts_with(name), "{of:?}");
        assert_eq!((of.is_told, told.organisation), (directory, 60));
        if directory {
            assert_eq!(of.group.members, 15);
        } else {
            // Most of the team, and a few who use what it does.
            assert!((5..=25).contains(&of.group.members), "{of:?}");
        }
        let [app] = told.features.as_slice() else { panic!("{told:?}") };
        let alike = app.alike.expect("shares are compared");
        assert!((0.05..0.95).contains(&alike), "{alike}");
        let apart: Vec<f64> = app.values.iter().map(|v| (v.own - v.peers.unwrap()).abs()).collect();
        assert!(apart.windows(2).all(|w| w[1] <= w[0]) && apart.iter().all(|d| *d >= 0.01));
        // What it uses and few of its peers do is told, and what they use and it does not.
        assert!(
            app.values.iter().any(|v| v.own > 0.1 && v.own > v.peers.unwrap() + 0.1),
            "{app:?}"
        );
        assert!(app.values.iter().any(|v| v.own == 0.0 && v.peers.unwrap() > 0.05), "{app:?}");
        // A team of four uses what a quarter of the organisation does.
        let own_team = |v: &&sluice_baseline::ValueComparison| v.value.starts_with("app0-");
        for value in app.values.iter().filter(own_team) {
            let ratio = value.organisation / value.peers.unwrap();
            assert!((0.15..=0.6).contains(&ratio), "{value:?}");
        }
    }
}

#[test]
fn without_a_group_it_is_compared_with_all() {
    let events = organisation(3, 12, 40);
    let told = compare(&spec(Unit::Day), &events, "u1").unwrap();
    assert_eq!((told.group.clone(), told.organisation), (None, 12));
    assert!(told.learned > 10, "{told:?}");
    let feature = |name: &str| told.features.iter().find(|f| f.name == name).unwrap();
    // Each has two countries of its own: u1 has c3 and c4.
    let country = feature("country");
    assert!(country.values.iter().all(|v| v.peers.is_none()), "{country:?}");
    let c3 = country.values.iter().find(|v| v.value == "c3").expect("its own is told");
    assert!(c3.own > 0.3 && c3.organisation < 0.2, "{c3:?}");
    // Everybody works at the same hours and moves the same amounts.
    assert!(feature("hour").alike.unwrap() > 0.7, "{:?}", feature("hour"));
    let [bytes] = feature("bytes").values.as_slice() else { panic!("{told:?}") };
    let ratio = bytes.own / bytes.organisation;
    assert!(bytes.value == "median" && (0.5..2.0).contains(&ratio), "{bytes:?}");
    let logons = feature("logons");
    assert!(logons.alike.is_none() && !logons.values.is_empty(), "{logons:?}");
    assert!(logons.values.iter().all(|v| v.own > 0.5 && v.organisation > 0.5), "{logons:?}");
}

#[test]
fn of_nobody_it_knows_and_of_state_it_cannot_read_nothing_is_told() {
    let spec = only(FeatureKind::Categorical);
    let events = [Event::new("ann", MONDAY, "DE")];
    assert_eq!(compare(&spec, &events, "bob"), None);
    // Of a day that is not over nothing is learned: there is nothing to differ in.
    let ann = compare(&spec, &events, "ann").unwrap();
    assert_eq!((ann.learned, ann.organisation, ann.features[0].alike), (0, 0, None));
    assert!(ann.features[0].values.is_empty());
    let other = Spec { unit: Unit::Events(5), ..spec.clone() };
    let state = exported(&spec, &events);
    let read = Comparison::read(&other, "ann", &mut |key| state.get(key).cloned());
    assert_eq!(read, Err(StateError::OtherUnit));
}

//! Section 8: peer groups, learned and of a directory; what they do to a score, and that they depend on
//! nothing but the rows.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sluice_baseline::{Baseline, FeatureKind, POLICY, PeerSource, Spec, UnitScore};

use crate::support::{DAY, Event, HOUR, MONDAY, of, only, run_all};

const LEARNED: PeerSource = PeerSource { directory: false, learned: true };
const DIRECTORY: PeerSource = PeerSource { directory: true, learned: false };

/// Four teams of fifteen, each with two applications that all of them use, and eight more of which a person
/// uses three.
pub(crate) fn teams(seed: u64, days: i64) -> Vec<Event> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut events = Vec::new();
    for day in 0..days {
        for person in 0..60 {
            let team = person % 4;
            for _ in 0..rng.random_range(2..7) {
                let app = match rng.random_range(0..6) {
                    common @ 0..3 => 8 + common % 2,
                    own => (person / 4 + own - 3) % 8,
                };
                let time = MONDAY + day * DAY + rng.random_range(8 * HOUR..17 * HOUR);
                let value = format!("app{team}-{app}");
                let event = Event::new(&format!("p{person}"), time, &value);
                events.push(Event { peers: Some(format!("team {team}")), ..event });
            }
        }
    }
    events.sort_by_key(|e| (e.time, e.uid));
    events
}

/// The scores of two people of one team on the day after: one opens an application of their team that
/// they never used, the other one of another team.
fn scores(peers: PeerSource) -> (f64, f64, Vec<UnitScore>) {
    let mut events = teams(5, 40);
    let at = MONDAY + 40 * DAY + 9 * HOUR;
    for (person, value) in [("p0", "app0-5"), ("p4", "app1-5")] {
        events.extend((0..4).map(|i| Event {
            peers: Some("team 0".to_owned()),
            ..Event::new(person, at + i * 60_000, value)
        }));
    }
    let spec = Spec { peers, alarm_rate: 1.0, ..only(FeatureKind::Categorical) };
    let (_, units) = run_all(spec, &events);
    let last = |person: &str| of(&units, person).last().map_or(f64::NAN, |u| u.score);
    (last("p0"), last("p4"), units)
}

#[test]
fn s8_what_peers_do_is_less_unusual_than_what_others_do() {
    let (own_team, other_team, units) = scores(PeerSource::default());
    assert!((own_team - other_team).abs() < 0.5, "{own_team} {other_team}");
    assert!(units.iter().all(|u| u.anomaly.as_ref().is_none_or(|a| a.peers.is_none())));
    for (peers, name) in [(LEARNED, "group "), (DIRECTORY, "team 0")] {
        let (own_team, other_team, units) = scores(peers);
        assert!(own_team + 0.5 < other_team, "{peers:?}: {own_team} {other_team}");
        let group = of(&units, "p0").last().and_then(|u| u.anomaly.clone()?.peers.clone());
        let group = group.expect("it is said whom it was compared with");
        assert!(group.name.starts_with(name), "{group:?}");
        // Of a directory the team; who uses much of what another team has may be learned to belong to it.
        assert!((5..=25).contains(&group.members), "{group:?}");
    }
}

#[test]
fn s8_learned_groups_keep_their_names_from_day_to_day() {
    let spec = Spec { peers: LEARNED, alarm_rate: 1.0, ..only(FeatureKind::Categorical) };
    let (_, units) = run_all(spec, &teams(6, 40));
    for person in ["p0", "p1", "p2", "p3"] {
        let later = of(&units, person).into_iter().filter(|u| u.time > MONDAY + 25 * DAY);
        let names: Vec<String> =
            later.filter_map(|u| Some(u.anomaly.as_ref()?.peers.as_ref()?.name.clone())).collect();
        // Who does what two groups do may go from one to the other.
        let changes = names.windows(2).filter(|w| w[0] != w[1]).count();
        assert!(names.len() > 5 && changes <= 2, "{names:?}");
    }
}

#[test]
fn s8_a_person_whom_the_directory_moves_is_compared_with_the_others_at_once() {
    let mut events = teams(5, 40);
    let at = MONDAY + 40 * DAY + 9 * HOUR;
    events.extend((0..4).map(|i| Event {
        peers: Some("team 1".to_owned()),
        ..Event::new("p0", at + i * 60_000, "app1-5")
    }));
    let spec = Spec { peers: DIRECTORY, alarm_rate: 1.0, ..only(FeatureKind::Categorical) };
    let (_, units) = run_all(spec, &events);
    let last = of(&units, "p0").last().and_then(|u| u.anomaly.clone()).unwrap();
    assert_eq!(last.peers.as_ref().map(|p| p.name.as_str()), Some("team 1"));
    let (_, other_team, _) = scores(DIRECTORY);
    assert!(last.features[0].score + 0.5 < other_team, "{last:?} {other_team}");
}

#[test]
fn without_a_directory_the_group_of_a_row_says_nothing() {
    let spec = Spec { alarm_rate: 1.0, ..only(FeatureKind::Categorical) };
    let plain = |events: &[Event]| {
        let mut baseline = Baseline::new(spec.clone(), POLICY, 1);
        crate::support::run(&mut baseline, events, 0, 50)
    };
    let events = teams(7, 15);
    let unnamed: Vec<Event> = events.iter().cloned().map(|e| Event { peers: None, ..e }).collect();
    assert_eq!(plain(&events), plain(&unnamed));
}

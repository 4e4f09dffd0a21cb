//! How findings fold: replays, late rows, crashes.

use serde_json::Map;
use sluice_rule::Severity;

use super::*;
use crate::FindingId;

fn finding(state: FindingState, window: Option<(i64, i64)>, count: u64) -> Finding {
    Finding {
        id: FindingId(7),
        rule_id: "x.y".into(),
        rule_version: "abc".into(),
        title: "t".to_owned(),
        severity: Severity::Low,
        time: count as i64,
        state,
        revision: 1,
        entities: Vec::new(),
        attack: [].into(),
        risk: 8,
        shadow: false,
        suppression: None,
        fields: Map::new(),
        window,
        count,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: sluice_event::TimeFlags::NONE,
        contested: false,
        evidence: Vec::new(),
        evidence_total: count,
    }
}

const WINDOW: Option<(i64, i64)> = Some((0, 60_000));

fn provisional(count: u64) -> Finding {
    finding(FindingState::Provisional, WINDOW, count)
}

fn confirmed(count: u64) -> Finding {
    finding(FindingState::Confirmed, WINDOW, count)
}

fn withdrawn(count: u64) -> Finding {
    finding(FindingState::Withdrawn, WINDOW, count)
}

/// What is kept after statements, starting from what is known; without its revision.
fn after(known: Option<Finding>, said: &[Finding]) -> Option<Finding> {
    let kept = said.iter().fold(known, |known, said| fold(known.as_ref(), said.clone()).or(known));
    kept.map(|f| Finding { revision: 0, ..f })
}

#[test]
fn replay_from_any_point_in_any_cut_ends_as_an_undisturbed_run() {
    // The statements of an operator about one id, as far as it gets.
    let runs = [
        vec![provisional(5), provisional(6), provisional(9)],
        vec![provisional(5), provisional(6), confirmed(6)],
        vec![provisional(5), withdrawn(5), provisional(7), confirmed(8)],
        vec![provisional(5), withdrawn(5)],
        vec![provisional(5), provisional(6), withdrawn(6), provisional(9), withdrawn(9)],
        // Sliding: the qualifying row moves on and its window may hold fewer rows.
        vec![
            finding(FindingState::Provisional, Some((0, 10)), 100),
            finding(FindingState::Provisional, Some((9, 19)), 20),
        ],
        vec![confirmed(1)],
    ];
    for run in runs {
        let undisturbed = after(None, &run);
        for crash in 0..=run.len() {
            for checkpoint in 0..=crash {
                // Cut into other batches, an operator leaves out statements on the way, never the
                // last one.
                let rest = &run[checkpoint..];
                for left_out in 0..1_u32 << rest.len().saturating_sub(1) {
                    let again: Vec<Finding> = rest
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| left_out >> i & 1 == 0)
                        .map(|(_, f)| f.clone())
                        .collect();
                    let known = after(None, &run[..crash]);
                    assert_eq!(
                        after(known, &again),
                        undisturbed,
                        "{crash} {checkpoint} {left_out}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_said_again_changes_nothing() {
    for said in [provisional(3), confirmed(3), withdrawn(3)] {
        let kept = fold(None, said.clone()).unwrap();
        assert_eq!(fold(Some(&kept), said), None);
    }
}

#[test]
fn earlier_statement_does_not_take_back_a_later_one() {
    assert_eq!(fold(Some(&provisional(9)), provisional(5)), None);
    assert_eq!(fold(Some(&withdrawn(9)), provisional(5)), None);
    assert_eq!(fold(Some(&confirmed(9)), provisional(12)), None);
    assert_eq!(fold(Some(&confirmed(9)), withdrawn(9)), None);
    // A rule that was edited starts over.
    let edited = Finding { rule_version: "def".into(), ..provisional(5) };
    assert_eq!(fold(Some(&provisional(9)), edited).unwrap().count, 5);
}

#[test]
fn later_statement_of_fewer_rows_is_kept() {
    assert_eq!(fold(Some(&provisional(9)), confirmed(8)).unwrap().count, 8);
    assert_eq!(fold(Some(&provisional(9)), withdrawn(5)).unwrap().state, FindingState::Withdrawn);
}

#[test]
fn late_alone_is_no_change_and_stays() {
    let late = Finding { late: true, ..provisional(3) };
    assert_eq!(fold(Some(&provisional(3)), late.clone()), None);
    assert_eq!(fold(Some(&late), provisional(3)), None);
    let next = fold(Some(&late), provisional(4)).unwrap();
    assert_eq!((next.late, next.revision), (true, 2));
}

#[test]
fn confirmation_that_shows_no_event_keeps_those_that_are_known() {
    let shown = |finding: Finding, events: &[&str]| {
        let evidence = events.iter().map(|e| (*e).into()).collect();
        Finding { evidence, ..finding }
    };
    let known = shown(provisional(2), &["{\"n\":1}", "{\"n\":2}"]);
    let kept = fold(Some(&known), confirmed(2)).unwrap();
    assert_eq!((kept.state, &kept.evidence), (FindingState::Confirmed, &known.evidence));
    // Another window has events of its own, be it that none are left to show.
    let other = finding(FindingState::Confirmed, Some((1, 60_001)), 2);
    assert!(fold(Some(&known), other).unwrap().evidence.is_empty());
    assert!(fold(Some(&known), confirmed(3)).unwrap().evidence.is_empty());
}

#[test]
fn a_row_that_comes_again_in_time_was_not_too_late() {
    let row = |late| Finding { late, ..finding(FindingState::Confirmed, None, 1) };
    let in_time = fold(Some(&row(true)), row(false)).unwrap();
    assert_eq!((in_time.late, in_time.revision), (false, 2));
    assert_eq!(fold(Some(&row(false)), row(true)), None);
    assert_eq!(fold(Some(&row(true)), row(true)), None);
}

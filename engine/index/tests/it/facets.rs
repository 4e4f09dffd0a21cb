//! Counts of values under a query.

use std::collections::BTreeMap;

use sluice_event::EntityKind;
use sluice_finding::{Entity, Finding, Reason, Triage, TriageChange, TriageStatus};
use sluice_index::{Facet, FindingIndex, IndexSettings, SearchError, SearchPage, SearchRequest};
use sluice_rule::Severity;

use crate::common::{NOW, filled, finding, ids, mixed, put, settings};

fn facets(index: &FindingIndex, query: &str, facets: &[Facet]) -> SearchPage {
    let facets = facets.to_vec();
    index.search(&SearchRequest { facets, ..SearchRequest::new(query, NOW) }).unwrap()
}

fn pairs<'a>(page: &'a SearchPage, name: &str) -> Vec<(&'a str, u64)> {
    page.facets[name].iter().map(|(value, count)| (value.as_str(), *count)).collect()
}

#[test]
fn values_are_counted_under_the_query() {
    let scratch = filled(&mixed());
    let page = facets(&scratch.index, "", &Facet::ALL);
    assert_eq!(page.facets.len(), 8);
    assert_eq!(pairs(&page, "severity"), [("critical", 1), ("high", 1), ("low", 1)]);
    assert_eq!(pairs(&page, "status"), [("new", 3)]);
    assert_eq!(pairs(&page, "state"), [("confirmed", 2), ("provisional", 1)]);
    assert_eq!(pairs(&page, "entity_kind"), [("user", 2), ("device", 1), ("ip", 1)]);
    assert_eq!(
        pairs(&page, "attack"),
        [("T1078", 1), ("T1078.004", 1), ("T1621", 1), ("TA0011", 1)]
    );
    assert!(pairs(&page, "tactic").contains(&("TA0006", 1)));
    assert_eq!(pairs(&page, "assignee"), []);
    let page = facets(&scratch.index, "severity:>=high", &[Facet::RuleId]);
    assert_eq!(pairs(&page, "rule_id"), [("identity.mfa_fatigue", 1), ("network.beacon", 1)]);
    let page = facets(&scratch.index, "nothing_like_it", &[Facet::RuleId]);
    assert_eq!((page.total, pairs(&page, "rule_id")), (0, vec![]));
}

#[test]
fn counts_do_not_depend_on_the_page_and_keep_the_most_frequent() {
    let scratch = filled(&[]);
    for n in 0..30_u128 {
        let mut one = finding(n + 1);
        one.rule_id = format!("rule.r{}", n % 7 % 5).into();
        // Several segments.
        put(&scratch.index, &[one], n as u64 + 2);
    }
    let request = SearchRequest {
        facets: vec![Facet::RuleId],
        facet_limit: 2,
        limit: 4,
        ..SearchRequest::new("", NOW)
    };
    let first = scratch.index.search(&request).unwrap();
    assert_eq!(pairs(&first, "rule_id"), [("rule.r0", 9), ("rule.r1", 9)]);
    let second = scratch.index.search(&SearchRequest { after: first.next, ..request }).unwrap();
    assert_eq!((second.total, &second.facets), (30, &first.facets));
}

#[test]
fn triage_moves_a_finding_between_facets() {
    let one = finding(1);
    let scratch = filled(&[one.clone(), finding(2)]);
    let new = Triage::default();
    let taken = TriageChange {
        status: Some(TriageStatus::InProgress),
        assignee: Some(Some("Ann".to_owned())),
        ..TriageChange::default()
    };
    let taken = new.apply(taken, NOW, "ann").unwrap();
    scratch.index.apply(&[(&one, &taken)], &[], 2).unwrap();
    // Not before the commit.
    assert_eq!(ids(&scratch.index, "status:new"), [1, 2]);
    scratch.index.commit().unwrap();
    let page = facets(&scratch.index, "", &[Facet::Status, Facet::Assignee]);
    assert_eq!(pairs(&page, "status"), [("in_progress", 1), ("new", 1)]);
    assert_eq!(pairs(&page, "assignee"), [("Ann", 1)]);
    assert_eq!(ids(&scratch.index, "assignee:ann"), [1]);
    assert_eq!(ids(&scratch.index, "-assignee:*"), [2]);

    let closed = TriageChange {
        status: Some(TriageStatus::Resolved),
        reason: Some(Reason::FalsePositive),
        ..TriageChange::default()
    };
    let closed = taken.apply(closed, NOW, "ann").unwrap();
    scratch.index.apply(&[(&one, &closed)], &[], 3).unwrap();
    scratch.index.commit().unwrap();
    let page = facets(&scratch.index, "", &[Facet::Status]);
    assert_eq!(pairs(&page, "status"), [("new", 1), ("resolved", 1)]);
    assert_eq!(ids(&scratch.index, "reason:false_positive"), [1]);
    assert_eq!(ids(&scratch.index, "reason:*"), [1]);
}

#[test]
fn a_facet_of_too_many_values_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = IndexSettings { max_facet_values: 3, ..settings() };
    let index = FindingIndex::open(dir.path(), settings).unwrap();
    let findings: Vec<_> = (1..=4_u128)
        .map(|n| {
            let mut one = finding(n);
            one.rule_id = format!("rule.r{n}").into();
            one.entities = vec![Entity { kind: EntityKind::Ip, id: n.to_string() }];
            one
        })
        .collect();
    put(&index, &findings, 1);
    let request = SearchRequest { facets: vec![Facet::RuleId], ..SearchRequest::new("", NOW) };
    let answer = index.search(&request);
    let Err(SearchError::FacetTooLarge { facet: "rule_id", values: 4, most: 3 }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(facets(&index, "", &[Facet::Severity]).total, 4);
}

#[test]
fn counts_are_those_of_the_matches_whether_most_match_or_few() {
    let severities = [Severity::Low, Severity::Low, Severity::Low, Severity::High];
    let made = |n: u128, round: u128| {
        let mut one = finding(n);
        one.severity = severities[(n * 7 + round) as usize % 4];
        one.rule_id = format!("rule.r{}", (n + round) % 5).into();
        if n.is_multiple_of(3) {
            one.entities.push(Entity { kind: EntityKind::Ip, id: format!("192.0.2.{n}") });
        }
        if n.is_multiple_of(20) {
            one.entities.clear();
        }
        one
    };
    let mut findings: Vec<Finding> = (1..=400).map(|n| made(n, 0)).collect();
    let scratch = filled(&findings[..150]);
    put(&scratch.index, &findings[150..], 2);
    let mut cursor = 2;
    for round in 0..3 {
        // Some are replaced: what they had is not counted any more.
        for (n, one) in (1..).zip(&mut findings).filter(|(n, _)| n % 4 < round) {
            *one = made(n, round);
            cursor += 1;
        }
        put(&scratch.index, &findings, cursor);
        for query in ["", "severity:low", "severity:high", "-rule_id:rule.r1", "user:nobody"] {
            let asked = [Facet::Severity, Facet::RuleId, Facet::EntityKind];
            let request = SearchRequest {
                facets: asked.to_vec(),
                limit: SearchRequest::MAX_LIMIT,
                ..SearchRequest::new(query, NOW)
            };
            // The second time what whole segments have is known.
            let [first, page] = [&request, &request].map(|r| scratch.index.search(r).unwrap());
            assert_eq!(first, page);
            let hits = page.hits.iter().map(|hit| &findings[hit.id.0 as usize - 1]);
            let mut counted: BTreeMap<(&str, String), u64> = BTreeMap::new();
            for hit in hits {
                *counted.entry(("severity", hit.severity.name().to_owned())).or_default() += 1;
                *counted.entry(("rule_id", hit.rule_id.to_string())).or_default() += 1;
                for entity in &hit.entities {
                    let kind = entity.kind.name().to_owned();
                    *counted.entry(("entity_kind", kind)).or_default() += 1;
                }
            }
            let said = page.facets.iter().flat_map(|(facet, values)| {
                values.iter().map(|(value, count)| ((*facet, value.clone()), *count))
            });
            assert_eq!(said.collect::<BTreeMap<_, _>>(), counted, "round {round}, `{query}`");
        }
    }
}

//! Pages by cursor while findings come and go.

use std::collections::BTreeSet;

use sluice_finding::{Finding, FindingState};
use sluice_index::{SearchRequest, SortKey};

use crate::common::{NOW, filled, finding, put};

#[test]
fn pages_neither_repeat_nor_skip_while_findings_come() {
    const FINDINGS: u128 = 10_000;
    // Ids in no order of time, and 100 findings for each time.
    let make = |n: u128| {
        let mut one = finding(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        one.time = NOW - (n % 100) as i64;
        one
    };
    let from_start: Vec<_> = (0..FINDINGS).map(make).collect();
    let scratch = filled(&from_start);
    let mut next_new = FINDINGS;
    let mut request = SearchRequest { limit: 499, ..SearchRequest::new("push", NOW) };
    let mut seen = Vec::new();
    loop {
        let page = scratch.index.search(&request).unwrap();
        seen.extend(page.hits);
        // Findings before, at and behind the place of the cursor.
        let more: Vec<_> = (next_new..next_new + 20).map(make).collect();
        put(&scratch.index, &more, next_new as u64);
        next_new += 20;
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    assert!(seen.is_sorted());
    let set: BTreeSet<_> = seen.iter().map(|key| key.id).collect();
    assert_eq!(set.len(), seen.len(), "a finding came twice");
    for finding in &from_start {
        assert!(set.contains(&finding.id), "{} was skipped", finding.id);
    }
    assert!(seen.len() > FINDINGS as usize, "no new finding fell behind the cursor");
}

#[test]
fn the_last_page_says_so_and_times_bound_it() {
    let findings: Vec<_> = (1..=6_u128)
        .map(|n| {
            let mut one = finding(n);
            one.time = NOW - n as i64;
            one
        })
        .collect();
    let scratch = filled(&findings);
    let request = SearchRequest { limit: 3, ..SearchRequest::new("", NOW) };
    let first = scratch.index.search(&request).unwrap();
    assert_eq!((first.hits.len(), first.total, first.next), (3, 6, first.hits.last().copied()));
    let second =
        scratch.index.search(&SearchRequest { after: first.next, ..request.clone() }).unwrap();
    assert_eq!((second.hits.len(), second.total, second.next), (3, 6, None));
    let bounded = SearchRequest { from: Some(NOW - 4), to: Some(NOW - 2), ..request };
    let page = scratch.index.search(&bounded).unwrap();
    let ids: Vec<_> = page.hits.iter().map(|hit| hit.id.0).collect();
    assert_eq!((ids, page.total), (vec![3, 4], 2));
}

#[test]
fn every_page_is_the_next_of_the_whole_order_in_many_segments() {
    // Times in no order and many alike; some findings replaced since, some taken back, some on trial.
    let make = |n: u128, round: i64| {
        let mut one = finding(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        one.time = NOW - (n as i64 * 7_919 + round * 13) % 977;
        one.risk = (n % 7) as u8;
        one.shadow = n.is_multiple_of(5);
        if n.is_multiple_of(11) {
            one.state = FindingState::Withdrawn;
        }
        one
    };
    let mut findings: Vec<_> = (0..6_000).map(|n| make(n, 0)).collect();
    let scratch = filled(&findings[..2_500]);
    put(&scratch.index, &findings[2_500..], 2);
    for n in (0..6_000).step_by(9) {
        findings[n] = make(n as u128, 1);
    }
    let replaced: Vec<_> = findings.iter().step_by(9).cloned().collect();
    put(&scratch.index, &replaced, 3);
    type Wanted = fn(&Finding) -> bool;
    let cases: [(&str, Option<bool>, Wanted); 5] = [
        ("", None, |f| f.state != FindingState::Withdrawn),
        ("", Some(false), |f| f.state != FindingState::Withdrawn && !f.shadow),
        ("state:*", Some(true), |f| f.shadow),
        ("risk:3 push", Some(false), |f| {
            f.risk == 3 && f.state != FindingState::Withdrawn && !f.shadow
        }),
        ("risk:>=5 -push", None, |_| false),
    ];
    for (query, shadow, wanted) in cases {
        let mut order: Vec<_> = findings
            .iter()
            .filter(|finding| wanted(finding))
            .map(|finding| SortKey { time: finding.time, id: finding.id })
            .collect();
        order.sort_unstable();
        let mut request = SearchRequest { limit: 500, shadow, ..SearchRequest::new(query, NOW) };
        let mut seen = Vec::new();
        loop {
            let page = scratch.index.search(&request).unwrap();
            assert_eq!(page.total, order.len() as u64, "{query} {shadow:?}");
            seen.extend(page.hits);
            request.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(seen, order, "{query} {shadow:?}");
    }
}

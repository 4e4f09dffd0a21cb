//! Searches put to a real index.

use sluice_finding::{FindingId, Triage};
use sluice_index::{FindingIndex, IndexSettings};
use sluice_rule::Severity;

use super::{
    super::{SearchError, SearchRequest, search},
    fakes::finding,
};

#[test]
fn a_query_is_answered_or_refused_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let index = FindingIndex::open(dir.path(), IndexSettings::default()).unwrap();
    let triage = Triage::default();
    let one = finding(1, 1_000, "identity.x", Severity::High);
    let two = finding(2, 1_000, "identity.x", Severity::Low);
    index.apply(&[(&one, &triage), (&two, &triage)], &[], 1).unwrap();
    index.commit().unwrap();
    let ask = |query: &str, after| {
        let request = SearchRequest {
            query: query.to_owned(),
            after,
            limit: 1,
            facets: vec!["severity".to_owned()],
            facet_limit: 5,
            ..SearchRequest::default()
        };
        search(&index, &request)
    };
    let page = ask("rule_id:identity.x", None).unwrap();
    assert_eq!((page.ids, page.total.value), (vec![(FindingId(1), 1_000)], 2));
    assert_eq!(page.next, Some((1_000, FindingId(1))));
    assert_eq!(page.facets["severity"].len(), 2);
    let last = ask("rule_id:identity.x", page.next).unwrap();
    assert_eq!((last.ids, last.next), (vec![(FindingId(2), 1_000)], None));
    for bad in ["((((", "*^2", "nofield:x"] {
        assert!(matches!(ask(bad, None), Err(SearchError::Query { .. })), "{bad}");
    }
    let Err(SearchError::Query { position, .. }) = ask("title:x nofield:x", None) else { panic!() };
    assert_eq!(position, Some(9));
}

//! From a query to its page: the matches of each segment, their number, the newest of them and the
//! values of facets. Not how values are counted (see [`crate::facets`]).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use sluice_finding::FindingId;
use tantivy::{
    COLLECT_BLOCK_BUFFER_LEN, DocId, DocSet, SegmentReader, TERMINATED, Term,
    columnar::{Column, ColumnValues},
    query::{EnableScoring, Weight},
    schema::IndexRecordOption,
};

use crate::{
    SearchError, SearchPage, SearchRequest, SortKey,
    compile::Compiled,
    deadline::Deadline,
    facets::{Buffer, TooLarge},
    matches::{BLOCK, Matches},
    snapshot::{SegmentFacts, Snapshot},
};

/// Buffers of matches between two looks at the clock.
const LOOK_EVERY: u32 = 16;

/// The page of a request.
///
/// # Errors
/// Inside: what is wrong with the request. Outside: what is wrong with the index.
pub(crate) fn page(
    snapshot: &Snapshot,
    compiled: &Compiled,
    request: &SearchRequest,
    deadline: &Deadline,
) -> tantivy::Result<Result<SearchPage, SearchError>> {
    let weight =
        compiled.query.weight(EnableScoring::disabled_from_searcher(&snapshot.searcher))?;
    let mut segments = Vec::with_capacity(snapshot.segments.len());
    for (reader, facts) in snapshot.searcher.segment_readers().iter().zip(&snapshot.segments) {
        let matches = matches(&*weight, reader, &compiled.without, deadline);
        if deadline.is_over() {
            return Ok(Err(deadline.refusal()));
        }
        segments.push((&**facts, matches?));
    }
    let mut page = SearchPage {
        total: segments.iter().map(|(_, matches)| matches.count()).sum(),
        ..SearchPage::default()
    };
    page.hits = newest(snapshot, &segments, request);
    if page.hits.len() > request.limit {
        page.hits.truncate(request.limit);
        page.next = page.hits.last().copied();
    }
    let mut buffer = Buffer::default();
    for facet in request.facets.iter().collect::<BTreeSet<_>>() {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (facts, matches) in &segments {
            let Some(column) = facts.facet(*facet) else { continue };
            match column.count(matches, &mut buffer) {
                Ok(counts) => {
                    for (value, count) in counts? {
                        *sums.entry(value).or_default() += count;
                    }
                }
                Err(TooLarge { values, most }) => {
                    let facet = facet.name();
                    return Ok(Err(SearchError::FacetTooLarge { facet, values, most }));
                }
            }
        }
        let mut counts: Vec<_> = sums.into_iter().collect();
        // Stable: equal counts stay in the order of values.
        counts.sort_by_key(|(_, count)| Reverse(*count));
        counts.truncate(request.facet_limit);
        page.facets.insert(facet.name(), counts);
    }
    Ok(Ok(page))
}

/// What a query matches in a segment, without what is replaced since and what has one of the terms in
/// `without`.
fn matches(
    weight: &dyn Weight,
    segment: &SegmentReader,
    without: &[Term],
    deadline: &Deadline,
) -> tantivy::Result<Matches> {
    let mut matches = Matches::none(segment.max_doc());
    let mut found = weight.scorer(segment, 1.0)?;
    let mut docs = [0; COLLECT_BLOCK_BUFFER_LEN];
    for filled in 1_u32.. {
        let count = found.fill_buffer(&mut docs);
        let docs = docs.get(..count).unwrap_or_default();
        match segment.alive_bitset() {
            None => matches.add(docs),
            Some(alive) => {
                let alive = docs.iter().filter(|doc| alive.is_alive(**doc));
                alive.for_each(|doc| matches.add(&[*doc]));
            }
        }
        let last = count < COLLECT_BLOCK_BUFFER_LEN;
        if last || (filled.is_multiple_of(LOOK_EVERY) && deadline.passes()) {
            break;
        }
    }
    for term in without {
        let postings =
            segment.inverted_index(term.field())?.read_postings(term, IndexRecordOption::Basic)?;
        let Some(mut postings) = postings else { continue };
        while postings.doc() != TERMINATED {
            matches.remove(postings.doc());
            postings.advance();
        }
    }
    Ok(matches)
}

/// The first `limit + 1` in the order of a request.
fn newest(
    snapshot: &Snapshot,
    segments: &[(&SegmentFacts, Matches)],
    request: &SearchRequest,
) -> Vec<SortKey> {
    let keep = request.limit + 1;
    // The last in the order on top.
    let mut hits: BinaryHeap<SortKey> = BinaryHeap::with_capacity(keep + 1);
    let mut docs = Vec::with_capacity(BLOCK);
    let mut times = [0; BLOCK];
    for block in &snapshot.blocks {
        if hits.len() >= keep && hits.peek().is_some_and(|last| block.newest < last.time) {
            // What follows is older still.
            break;
        }
        if request.after.is_some_and(|after| block.oldest > after.time) {
            continue;
        }
        let Some((facts, matches)) = segments.get(block.segment) else { continue };
        docs.clear();
        matches.block(block.block, &mut docs);
        let times = &mut times[..docs.len()];
        read(&*facts.time.values, &docs, times);
        for (doc, time) in docs.iter().zip(times) {
            let full = hits.len() >= keep;
            // Most matches are older than the page; their ids are not looked at.
            if request.after.is_some_and(|after| *time > after.time)
                || (full && hits.peek().is_some_and(|last| *time < last.time))
            {
                continue;
            }
            let key = SortKey { time: *time, id: id(facts, *doc) };
            if request.after.is_some_and(|after| key <= after) {
                continue;
            }
            hits.push(key);
            if full {
                hits.pop();
            }
        }
    }
    hits.into_sorted_vec()
}

fn id(facts: &SegmentFacts, doc: DocId) -> FindingId {
    let half = |column: &Column<u64>| u128::from(column.values.get_val(doc));
    FindingId(half(&facts.id_high) << 64 | half(&facts.id_low))
}

/// The values of rows in ascending order; of a run of rows at once.
pub(crate) fn read<T>(values: &dyn ColumnValues<T>, rows: &[u32], out: &mut [T])
where
    T: PartialOrd + std::fmt::Debug + Send + Sync + 'static,
{
    match (rows.first(), rows.last()) {
        (Some(first), Some(last)) if (last - first) as usize + 1 == rows.len() => {
            values.get_range(u64::from(*first), out);
        }
        _ => values.get_vals(rows, out),
    }
}

//! One pass over the matches: the page, the total and the facets. Not how values are counted (see
//! [`crate::facets`]).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use sluice_finding::FindingId;
use tantivy::{
    DocId, Score, SegmentOrdinal, SegmentReader, TantivyError,
    collector::{Collector, SegmentCollector},
    columnar::{Cardinality, Column, ColumnValues},
};

use crate::{
    Facet, SearchError, SearchPage, SearchRequest, SortKey,
    facets::{FacetCounts, FacetTotals, TooLarge, ValueCounts},
};

/// Collects one page.
pub(crate) struct Page {
    limit: usize,
    after: Option<SortKey>,
    facets: Vec<Facet>,
    facet_limit: usize,
    max_facet_values: usize,
    totals: Arc<FacetTotals>,
}

impl Page {
    pub(crate) fn new(
        request: &SearchRequest,
        max_facet_values: usize,
        totals: Arc<FacetTotals>,
    ) -> Self {
        let mut facets = request.facets.clone();
        facets.sort_unstable();
        facets.dedup();
        Page {
            limit: request.limit,
            after: request.after,
            facets,
            facet_limit: request.facet_limit,
            max_facet_values,
            totals,
        }
    }
}

/// What a segment has.
pub(crate) struct Part {
    total: u64,
    /// The first `limit + 1`, in no order.
    hits: Vec<SortKey>,
    /// In the order of [`Page::facets`].
    facets: Vec<ValueCounts>,
}

impl Collector for Page {
    type Fruit = Result<SearchPage, SearchError>;
    type Child = SegmentPage;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentPage> {
        let columns = segment.fast_fields();
        let facets = FacetCounts::new(&self.facets, self.max_facet_values, &self.totals, segment)?;
        let page = SegmentPage {
            keep: self.limit + 1,
            after: self.after,
            time: columns.i64("time")?,
            id_high: columns.u64("id_high")?,
            id_low: columns.u64("id_low")?,
            total: 0,
            hits: BinaryHeap::with_capacity(self.limit + 2),
            facets,
            docs: Vec::with_capacity(BLOCK),
            times: vec![0; BLOCK],
        };
        let order = [
            ("time", page.time.get_cardinality()),
            ("id_high", page.id_high.get_cardinality()),
            ("id_low", page.id_low.get_cardinality()),
        ];
        match order.iter().find(|(_, cardinality)| *cardinality != Cardinality::Full) {
            // They are read by document, not by row.
            Some((name, _)) => {
                Err(TantivyError::InternalError(format!("a finding has no {name}, or two")))
            }
            None => Ok(page),
        }
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, parts: Vec<Result<Part, TooLarge>>) -> tantivy::Result<Self::Fruit> {
        let mut page = SearchPage::default();
        let mut facets: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); self.facets.len()];
        for part in parts {
            let part = match part {
                Ok(part) => part,
                Err(TooLarge { facet, values }) => {
                    let facet = self.facets.get(facet).map_or("", |f| f.name());
                    let most = self.max_facet_values;
                    return Ok(Err(SearchError::FacetTooLarge { facet, values, most }));
                }
            };
            page.total += part.total;
            page.hits.extend(part.hits);
            for (sum, counts) in facets.iter_mut().zip(part.facets) {
                for (value, count) in counts? {
                    *sum.entry(value).or_default() += count;
                }
            }
        }
        page.hits.sort_unstable();
        if page.hits.len() > self.limit {
            page.hits.truncate(self.limit);
            page.next = page.hits.last().copied();
        }
        for (facet, counts) in self.facets.iter().zip(facets) {
            let mut counts: Vec<_> = counts.into_iter().collect();
            // Stable: equal counts stay in the order of values.
            counts.sort_by_key(|(_, count)| Reverse(*count));
            counts.truncate(self.facet_limit);
            page.facets.insert(facet.name(), counts);
        }
        Ok(Ok(page))
    }
}

/// Collects in one segment.
pub(crate) struct SegmentPage {
    keep: usize,
    after: Option<SortKey>,
    time: Column<i64>,
    id_high: Column<u64>,
    id_low: Column<u64>,
    total: u64,
    /// The last in the order on top.
    hits: BinaryHeap<SortKey>,
    facets: FacetCounts,
    /// Matches not looked at yet.
    docs: Vec<DocId>,
    times: Vec<i64>,
}

/// Matches are looked at so many at a time, column by column: reading a column for a block costs a
/// tenth of reading it for each match.
const BLOCK: usize = 1_024;

impl SegmentCollector for SegmentPage {
    type Fruit = Result<Part, TooLarge>;

    fn collect(&mut self, doc: DocId, _: Score) {
        self.docs.push(doc);
        if self.docs.len() == BLOCK {
            self.look();
        }
    }

    fn collect_block(&mut self, mut docs: &[DocId]) {
        while let Some((block, rest)) = docs.split_at_checked(BLOCK - self.docs.len()) {
            self.docs.extend_from_slice(block);
            self.look();
            docs = rest;
        }
        self.docs.extend_from_slice(docs);
    }

    fn harvest(mut self) -> Result<Part, TooLarge> {
        self.look();
        let facets = self.facets.finish()?;
        Ok(Part { total: self.total, hits: self.hits.into_vec(), facets })
    }
}

impl SegmentPage {
    /// Counts the matches gathered, and takes those that belong on the page.
    fn look(&mut self) {
        let docs = std::mem::take(&mut self.docs);
        self.total += docs.len() as u64;
        self.facets.add(&docs);
        let mut times = std::mem::take(&mut self.times);
        // Every finding has a time: its column is full.
        read(&*self.time.values, &docs, &mut times[..docs.len()]);
        for (doc, time) in docs.iter().zip(&times) {
            self.hit(*doc, *time);
        }
        self.times = times;
        self.docs = docs;
        self.docs.clear();
    }

    fn hit(&mut self, doc: DocId, time: i64) {
        let full = self.hits.len() >= self.keep;
        // Most matches are older than the page; their ids are not looked at.
        if self.after.is_some_and(|after| time > after.time)
            || (full && self.hits.peek().is_some_and(|last| time < last.time))
        {
            return;
        }
        let half = |column: &Column<u64>| u128::from(column.values.get_val(doc));
        let id = FindingId(half(&self.id_high) << 64 | half(&self.id_low));
        let key = SortKey { time, id };
        if self.after.is_some_and(|after| key <= after) {
            return;
        }
        self.hits.push(key);
        if full {
            self.hits.pop();
        }
    }
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

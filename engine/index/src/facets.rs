//! How often values of facets occur among the matches of a segment. Not the page (see
//! [`crate::collect`]).
//!
//! A segment never changes, so what all of its findings have is counted once and kept. Of the matches
//! and the others, the fewer are looked at: where most findings match, what the others have is taken
//! off what all have.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tantivy::{
    DocId, SegmentReader,
    columnar::{ColumnIndex, StrColumn},
    index::SegmentId,
};

use crate::{Facet, collect::read};

/// What all findings of each segment have, those included that were replaced since: by ordinal of the
/// value. Eight bytes a value.
#[derive(Debug, Default)]
pub(crate) struct FacetTotals {
    known: Mutex<Known>,
}

type Known = BTreeMap<(SegmentId, Facet), Arc<Vec<u64>>>;

impl FacetTotals {
    /// Forgets segments that are no more.
    pub(crate) fn retain(&self, segments: &BTreeSet<SegmentId>) {
        self.lock().retain(|(segment, _), _| segments.contains(segment));
    }

    fn of(&self, segment: SegmentId, counter: &Counter) -> Arc<Vec<u64>> {
        let key = (segment, counter.facet);
        if let Some(known) = self.lock().get(&key) {
            return known.clone();
        }
        let counted = Arc::new(counter.all());
        self.lock().insert(key, counted.clone());
        counted
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the values of some facets in one segment.
pub(crate) struct FacetCounts {
    segment: SegmentId,
    totals: Arc<FacetTotals>,
    counters: Vec<Counter>,
    matches: Matches,
}

/// Values of a facet and how many matches have them.
pub(crate) type ValueCounts = io::Result<Vec<(String, u64)>>;

/// A facet, by its place in the request, with more values than are counted.
pub(crate) struct TooLarge {
    pub(crate) facet: usize,
    pub(crate) values: usize,
}

/// Findings are looked at so many at a time, column by column.
const BLOCK: usize = 1_024;

impl FacetCounts {
    /// Counters of these facets; `most` values of one are counted.
    pub(crate) fn new(
        facets: &[Facet],
        most: usize,
        totals: &Arc<FacetTotals>,
        segment: &SegmentReader,
    ) -> tantivy::Result<FacetCounts> {
        let counters = facets
            .iter()
            .map(|facet| {
                let column = segment.fast_fields().str(facet.name())?;
                let values = column.as_ref().map_or(0, |c| c.dictionary().num_terms());
                Ok(Counter { facet: *facet, column, values, large: values > most })
            })
            .collect::<tantivy::Result<Vec<_>>>()?;
        let docs = if counters.is_empty() { 0 } else { segment.max_doc() };
        Ok(FacetCounts {
            segment: segment.segment_id(),
            totals: totals.clone(),
            counters,
            matches: Matches::new(docs),
        })
    }

    /// Takes matches.
    pub(crate) fn add(&mut self, docs: &[DocId]) {
        if !self.counters.is_empty() {
            docs.iter().for_each(|doc| self.matches.add(*doc));
        }
    }

    /// Values and how many matches have them, per facet in the order that was asked for.
    pub(crate) fn finish(self) -> Result<Vec<ValueCounts>, TooLarge> {
        let FacetCounts { segment, totals, counters, matches } = self;
        let found = matches.count();
        let large = counters.iter().enumerate().find(|(_, counter)| counter.large);
        if found > 0
            && let Some((facet, large)) = large
        {
            return Err(TooLarge { facet, values: large.values });
        }
        let most = found > u64::from(matches.docs) / 2;
        let mut counts: Vec<Vec<u64>> =
            counters.iter().map(|counter| vec![0; counter.counted()]).collect();
        let mut buffer = Buffer::default();
        matches.blocks(!most, |docs| {
            for (counter, counts) in counters.iter().zip(&mut counts) {
                counter.count(docs, counts, &mut buffer);
            }
        });
        let named = counters.iter().zip(counts).map(|(counter, mut counts)| {
            if most {
                for (count, all) in counts.iter_mut().zip(&*totals.of(segment, counter)) {
                    *count = all.saturating_sub(*count);
                }
            }
            counter.named(&counts)
        });
        Ok(named.collect())
    }
}

/// A bit for each finding of a segment.
struct Matches {
    docs: u32,
    bits: Vec<u64>,
}

impl Matches {
    fn new(docs: u32) -> Matches {
        Matches { docs, bits: vec![0; docs.div_ceil(64) as usize] }
    }

    fn add(&mut self, doc: DocId) {
        if let Some(word) = self.bits.get_mut(doc as usize / 64) {
            *word |= 1 << (doc % 64);
        }
    }

    fn count(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The matches, or the others, in ascending order, a block at a time.
    fn blocks(&self, matches: bool, mut take: impl FnMut(&[DocId])) {
        let mut block = Vec::with_capacity(BLOCK);
        for (at, word) in (0u32..).zip(&self.bits) {
            let mut left = if matches { *word } else { !word };
            while left != 0 {
                let doc = at * 64 + left.trailing_zeros();
                left &= left - 1;
                // The last word has bits of no finding.
                if doc < self.docs {
                    block.push(doc);
                }
            }
            if block.len() + 64 > BLOCK {
                take(&block);
                block.clear();
            }
        }
        take(&block);
    }
}

struct Counter {
    facet: Facet,
    column: Option<StrColumn>,
    values: usize,
    /// Whether there are more values than are counted.
    large: bool,
}

/// What reading a block of a column needs.
#[derive(Default)]
struct Buffer {
    docs: Vec<DocId>,
    rows: Vec<u32>,
    values: Vec<u64>,
}

impl Counter {
    /// Values that are counted.
    fn counted(&self) -> usize {
        if self.large { 0 } else { self.values }
    }

    /// Adds what these findings have.
    fn count(&self, docs: &[DocId], counts: &mut [u64], buffer: &mut Buffer) {
        let Some(column) = self.column.as_ref().filter(|_| !counts.is_empty()) else { return };
        let column = column.ords();
        let rows = match column.index {
            ColumnIndex::Full => docs,
            ColumnIndex::Empty { .. } | ColumnIndex::Optional(_) | ColumnIndex::Multivalued(_) => {
                buffer.docs.clear();
                buffer.rows.clear();
                column.row_ids_for_docs(docs, &mut buffer.docs, &mut buffer.rows);
                &buffer.rows
            }
        };
        buffer.values.resize(rows.len(), 0);
        read(&*column.values, rows, &mut buffer.values);
        tally(&buffer.values, counts);
    }

    /// What all findings of the segment have.
    fn all(&self) -> Vec<u64> {
        let mut counts = vec![0; self.counted()];
        let Some(column) = self.column.as_ref().filter(|_| !counts.is_empty()) else {
            return counts;
        };
        let values = &column.ords().values;
        let mut block = [0; BLOCK];
        let rows = values.num_vals() as usize;
        for start in (0..rows).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(rows - start)];
            values.get_range(start as u64, block);
            tally(block, &mut counts);
        }
        counts
    }

    fn named(&self, counts: &[u64]) -> ValueCounts {
        let Some(column) = &self.column else { return Ok(Vec::new()) };
        let mut named = Vec::new();
        for (value, count) in (0..).zip(counts).filter(|(_, count)| **count > 0) {
            let mut name = String::new();
            column.ord_to_str(value, &mut name)?;
            named.push((name, *count));
        }
        Ok(named)
    }
}

fn tally(values: &[u64], counts: &mut [u64]) {
    for value in values {
        if let Some(count) = counts.get_mut(*value as usize) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_and_the_others_are_all_findings_once() {
        for docs in [0, 1, 63, 64, 65, 3_000, 5_000] {
            let mut matches = Matches::new(docs);
            let is_match = |doc: &u32| doc.is_multiple_of(3) || (1_000..2_500).contains(doc);
            (0..docs).filter(is_match).for_each(|doc| matches.add(doc));
            let given = |wanted| {
                let mut given = Vec::new();
                matches.blocks(wanted, |block| {
                    assert!(block.len() <= BLOCK);
                    given.extend_from_slice(block);
                });
                given
            };
            let (hits, others): (Vec<u32>, Vec<u32>) = (0..docs).partition(is_match);
            assert_eq!(matches.count(), hits.len() as u64);
            assert_eq!((given(true), given(false)), (hits, others), "of {docs}");
        }
    }
}

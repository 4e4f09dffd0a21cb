//! How often values of facets occur among the matches of a segment. Not the page (see
//! [`crate::collect`]).
//!
//! What all findings of a segment have is counted once, before its first search. Of the matches and
//! the others, the fewer are looked at: where most findings match, what the others have is taken off
//! what all have.

use std::io;

use tantivy::{
    DocId, SegmentReader,
    columnar::{ColumnIndex, StrColumn},
};

use crate::{
    Facet,
    collect::read,
    matches::{BLOCK, Matches},
};

/// A facet in one segment.
pub(crate) struct FacetColumn {
    /// `None`: no finding of the segment has a value.
    column: Option<StrColumn>,
    values: usize,
    /// Values that are counted at most.
    most: usize,
    /// How many findings have each value, those included that were replaced since: by ordinal of the
    /// value, eight bytes each.
    all: Vec<u64>,
}

/// Values of a facet and how many matches have them.
pub(crate) type ValueCounts = io::Result<Vec<(String, u64)>>;

/// A facet with more values than are counted.
pub(crate) struct TooLarge {
    pub(crate) values: usize,
    pub(crate) most: usize,
}

/// What reading a block of a column needs.
#[derive(Default)]
pub(crate) struct Buffer {
    docs: Vec<DocId>,
    rows: Vec<u32>,
    values: Vec<u64>,
}

impl FacetColumn {
    /// Counts what all findings of a segment have, unless it is more than `most` values.
    pub(crate) fn read(
        facet: Facet,
        most: usize,
        segment: &SegmentReader,
    ) -> tantivy::Result<FacetColumn> {
        let column = segment.fast_fields().str(facet.name())?;
        let values = column.as_ref().map_or(0, |c| c.dictionary().num_terms());
        let mut all = vec![0; if values > most { 0 } else { values }];
        if let Some(column) = column.as_ref().filter(|_| !all.is_empty()) {
            let ords = &column.ords().values;
            let rows = ords.num_vals() as usize;
            let mut block = [0; BLOCK];
            for start in (0..rows).step_by(BLOCK) {
                let block = &mut block[..BLOCK.min(rows - start)];
                ords.get_range(start as u64, block);
                tally(block, &mut all);
            }
        }
        Ok(FacetColumn { column, values, most, all })
    }

    /// The values that matches have, and how many have them.
    pub(crate) fn count(
        &self,
        matches: &Matches,
        buffer: &mut Buffer,
    ) -> Result<ValueCounts, TooLarge> {
        let found = matches.count();
        let Some(column) = self.column.as_ref().filter(|_| found > 0) else {
            return Ok(Ok(Vec::new()));
        };
        if self.values > self.most {
            return Err(TooLarge { values: self.values, most: self.most });
        }
        let most_match = found > u64::from(matches.docs()) / 2;
        let mut counts = vec![0; self.all.len()];
        matches.blocks(!most_match, |docs| tally(buffer.read(column, docs), &mut counts));
        if most_match {
            for (count, all) in counts.iter_mut().zip(&self.all) {
                *count = all.saturating_sub(*count);
            }
        }
        Ok(named(column, &counts))
    }
}

impl Buffer {
    /// The ordinals of the values that these findings have.
    fn read(&mut self, column: &StrColumn, docs: &[DocId]) -> &[u64] {
        let column = column.ords();
        let rows = match column.index {
            ColumnIndex::Full => docs,
            ColumnIndex::Empty { .. } | ColumnIndex::Optional(_) | ColumnIndex::Multivalued(_) => {
                self.docs.clear();
                self.rows.clear();
                column.row_ids_for_docs(docs, &mut self.docs, &mut self.rows);
                &self.rows
            }
        };
        self.values.resize(rows.len(), 0);
        read(&*column.values, rows, &mut self.values);
        &self.values
    }
}

fn named(column: &StrColumn, counts: &[u64]) -> ValueCounts {
    let mut named = Vec::new();
    for (value, count) in (0..).zip(counts).filter(|(_, count)| **count > 0) {
        let mut name = String::new();
        column.ord_to_str(value, &mut name)?;
        named.push((name, *count));
    }
    Ok(named)
}

fn tally(values: &[u64], counts: &mut [u64]) {
    for value in values {
        if let Some(count) = counts.get_mut(*value as usize) {
            *count += 1;
        }
    }
}

//! A commit as searches see it: its segments, and what is known of each before the first search.
//!
//! What the findings of a segment have never changes, only which of them are replaced since; so the
//! time span of each block and the values of all findings are read once.

use std::sync::Arc;

use tantivy::{
    Searcher, SegmentReader, TantivyError,
    columnar::{Cardinality, Column},
    index::SegmentId,
};

use crate::{Facet, facets::FacetColumn, matches::BLOCK};

/// A commit.
pub(crate) struct Snapshot {
    pub(crate) searcher: Searcher,
    /// In the order of the searcher's segments.
    pub(crate) segments: Vec<Arc<SegmentFacts>>,
    /// The blocks of all segments, the one with the newest finding first.
    pub(crate) blocks: Vec<TimeBlock>,
}

/// What is known of a segment.
pub(crate) struct SegmentFacts {
    id: SegmentId,
    pub(crate) time: Column<i64>,
    pub(crate) id_high: Column<u64>,
    pub(crate) id_low: Column<u64>,
    /// The oldest and the newest time of each block of findings.
    spans: Vec<(i64, i64)>,
    /// In the order of [`Facet::ALL`].
    facets: Vec<FacetColumn>,
}

/// [`BLOCK`] findings next to each other in a segment, and when they are of.
#[derive(Clone, Copy)]
pub(crate) struct TimeBlock {
    pub(crate) newest: i64,
    pub(crate) oldest: i64,
    /// Its segment, by place in [`Snapshot::segments`].
    pub(crate) segment: usize,
    /// Its place in the segment.
    pub(crate) block: usize,
}

impl Snapshot {
    /// Reads what is not known from the snapshot before. Facets of more than `most` values are not
    /// counted.
    pub(crate) fn new(
        searcher: Searcher,
        before: Option<&Snapshot>,
        most: usize,
    ) -> tantivy::Result<Snapshot> {
        let known = before.map_or(&[][..], |b| &b.segments);
        let segments = searcher
            .segment_readers()
            .iter()
            .map(|reader| match known.iter().find(|facts| facts.id == reader.segment_id()) {
                Some(facts) => Ok(facts.clone()),
                None => SegmentFacts::read(reader, most).map(Arc::new),
            })
            .collect::<tantivy::Result<Vec<_>>>()?;
        let mut blocks: Vec<_> = (0..)
            .zip(&segments)
            .flat_map(|(segment, facts)| {
                (0..).zip(&facts.spans).map(move |(block, (oldest, newest))| TimeBlock {
                    newest: *newest,
                    oldest: *oldest,
                    segment,
                    block,
                })
            })
            .collect();
        blocks.sort_by_key(|block| std::cmp::Reverse(block.newest));
        Ok(Snapshot { searcher, segments, blocks })
    }
}

impl SegmentFacts {
    fn read(segment: &SegmentReader, most: usize) -> tantivy::Result<SegmentFacts> {
        let columns = segment.fast_fields();
        let time = columns.i64("time")?;
        let id_high = columns.u64("id_high")?;
        let id_low = columns.u64("id_low")?;
        let order = [
            ("time", time.get_cardinality()),
            ("id_high", id_high.get_cardinality()),
            ("id_low", id_low.get_cardinality()),
        ];
        // They are read by document, not by row.
        if let Some((name, _)) = order.iter().find(|(_, c)| *c != Cardinality::Full) {
            return Err(TantivyError::InternalError(format!("a finding has no {name}, or two")));
        }
        let docs = segment.max_doc() as usize;
        let mut block = [0; BLOCK];
        let spans = (0..docs)
            .step_by(BLOCK)
            .map(|start| {
                let block = &mut block[..BLOCK.min(docs - start)];
                time.values.get_range(start as u64, block);
                let span = |(low, high): (i64, i64), time: &i64| (low.min(*time), high.max(*time));
                block.iter().fold((i64::MAX, i64::MIN), span)
            })
            .collect();
        let facets = Facet::ALL
            .iter()
            .map(|facet| FacetColumn::read(*facet, most, segment))
            .collect::<tantivy::Result<_>>()?;
        Ok(SegmentFacts { id: segment.segment_id(), time, id_high, id_low, spans, facets })
    }

    /// A facet. `None`: never.
    pub(crate) fn facet(&self, facet: Facet) -> Option<&FacetColumn> {
        self.facets.get(facet as usize)
    }
}

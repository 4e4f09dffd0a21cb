//! The matches of a query in one segment, a bit for each finding. Not what they have (see
//! [`crate::facets`]).

use tantivy::DocId;

/// Findings are looked at so many at a time, column by column: reading a column for a block costs a
/// tenth of reading it for each match.
pub(crate) const BLOCK: usize = 1_024;

const BITS: usize = 64;

/// A set of findings of a segment.
pub(crate) struct Matches {
    docs: u32,
    words: Vec<u64>,
}

impl Matches {
    /// None of so many findings.
    pub(crate) fn none(docs: u32) -> Matches {
        Matches { docs, words: vec![0; (docs as usize).div_ceil(BITS)] }
    }

    /// How many findings the segment has, matches or not.
    pub(crate) fn docs(&self) -> u32 {
        self.docs
    }

    /// Adds findings in ascending order.
    pub(crate) fn add(&mut self, docs: &[DocId]) {
        match (docs.first(), docs.last()) {
            (Some(first), Some(last)) if (last - first) as usize + 1 == docs.len() => {
                self.add_run(*first as usize, docs.len());
            }
            _ => docs.iter().for_each(|doc| self.change(*doc, |word, bit| word | bit)),
        }
    }

    /// Takes a finding away.
    pub(crate) fn remove(&mut self, doc: DocId) {
        self.change(doc, |word, bit| word & !bit);
    }

    fn change(&mut self, doc: DocId, change: impl Fn(u64, u64) -> u64) {
        if let Some(word) = self.words.get_mut(doc as usize / BITS) {
            *word = change(*word, 1 << (doc as usize % BITS));
        }
    }

    fn add_run(&mut self, mut first: usize, mut length: usize) {
        while length > 0 {
            let bit = first % BITS;
            let here = length.min(BITS - bit);
            if let Some(word) = self.words.get_mut(first / BITS) {
                *word |= (u64::MAX >> (BITS - here)) << bit;
            }
            first += here;
            length -= here;
        }
    }

    /// How many match.
    pub(crate) fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The matches of one block in ascending order, behind those in `docs`.
    pub(crate) fn block(&self, block: usize, docs: &mut Vec<DocId>) {
        let first = block * (BLOCK / BITS);
        let words = self.words.iter().enumerate().skip(first).take(BLOCK / BITS);
        words.for_each(|(at, word)| self.push(at, *word, docs));
    }

    /// The matches, or the others, in ascending order, a block at a time.
    pub(crate) fn blocks(&self, matches: bool, mut take: impl FnMut(&[DocId])) {
        let mut block = Vec::with_capacity(BLOCK);
        for (at, word) in self.words.iter().enumerate() {
            self.push(at, if matches { *word } else { !word }, &mut block);
            if block.len() + BITS > BLOCK {
                take(&block);
                block.clear();
            }
        }
        take(&block);
    }

    fn push(&self, at: usize, mut left: u64, docs: &mut Vec<DocId>) {
        while left != 0 {
            let doc = (at * BITS) as DocId + left.trailing_zeros();
            left &= left - 1;
            // The last word has bits of no finding.
            if doc < self.docs {
                docs.push(doc);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(docs: u32, is_match: impl Fn(&u32) -> bool) -> Matches {
        let mut matches = Matches::none(docs);
        let hits: Vec<u32> = (0..docs).filter(is_match).collect();
        // A run is added at once, other findings one by one.
        hits.chunks(64).for_each(|docs| matches.add(docs));
        matches
    }

    #[test]
    fn matches_and_the_others_are_all_findings_once() {
        for docs in [0, 1, 63, 64, 65, 3_000, 5_000] {
            let is_match = |doc: &u32| doc.is_multiple_of(3) || (1_000..2_500).contains(doc);
            let matches = filled(docs, is_match);
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
            let mut blocks = Vec::new();
            (0..=docs as usize / BLOCK).for_each(|block| matches.block(block, &mut blocks));
            assert_eq!(blocks, hits, "of {docs}");
            assert_eq!((given(true), given(false)), (hits, others), "of {docs}");
        }
    }

    #[test]
    fn what_is_removed_matches_no_more() {
        let mut matches = filled(200, |_| true);
        for doc in [0, 63, 64, 199, 200, 5_000] {
            matches.remove(doc);
        }
        assert_eq!(matches.count(), 196);
    }
}

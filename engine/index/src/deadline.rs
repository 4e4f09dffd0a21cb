//! How long a search may take, and queries that look at it: phrases, which read the places of words,
//! and beginnings of words, which read the findings of each word. What a term or a range of numbers
//! reads is bounded by the size of the index.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tantivy::{
    COLLECT_BLOCK_BUFFER_LEN, DocId, DocSet, Score, SeekDangerResult, SegmentReader, TERMINATED,
    Term,
    query::{EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight},
};

use crate::{QueryError, SearchError};

/// Findings that a query passes between two looks at the clock.
const LOOK_EVERY: u32 = 256;

/// The end of one search. Once it was seen to be over it stays so.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    allowed: Duration,
    end: Option<Instant>,
    over: Arc<AtomicBool>,
}

impl Deadline {
    /// From now on.
    pub(crate) fn after(allowed: Duration) -> Deadline {
        let end = now().checked_add(allowed);
        Deadline { allowed, end, over: Arc::default() }
    }

    /// Looks at the clock.
    pub(crate) fn passes(&self) -> bool {
        if self.end.is_some_and(|end| now() >= end) {
            self.over.store(true, Ordering::Relaxed);
        }
        self.is_over()
    }

    /// Whether somebody who looked saw it pass: what was found is not all.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Why there is no answer.
    pub(crate) fn refusal(&self) -> SearchError {
        let error = QueryError::new(format!("the search takes longer than {:?}", self.allowed));
        SearchError::Query(error.hint(
            "name fewer phrases and wildcards, or first what few findings have: a rule, an entity, a time",
        ))
    }
}

/// Finds what the query inside finds, and nothing more once the deadline is over.
#[derive(Debug)]
pub(crate) struct Bounded {
    pub(crate) query: Box<dyn Query>,
    pub(crate) deadline: Deadline,
}

impl Clone for Bounded {
    fn clone(&self) -> Self {
        Bounded { query: self.query.box_clone(), deadline: self.deadline.clone() }
    }
}

impl Query for Bounded {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let weight = self.query.weight(scoring)?;
        Ok(Box::new(BoundedWeight { weight, deadline: self.deadline.clone() }))
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        self.query.query_terms(visitor);
    }
}

struct BoundedWeight {
    weight: Box<dyn Weight>,
    deadline: Deadline,
}

impl BoundedWeight {
    fn bounded(&self, scorer: Box<dyn Scorer>) -> Box<dyn Scorer> {
        if scorer.is::<EmptyScorer>() {
            return scorer;
        }
        Box::new(BoundedScorer { scorer, deadline: self.deadline.clone(), passed: 0, over: false })
    }
}

impl Weight for BoundedWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        if self.deadline.passes() {
            return Ok(Box::new(EmptyScorer));
        }
        Ok(self.bounded(self.weight.scorer(reader, boost)?))
    }

    fn scorer_danger(
        &self,
        reader: &SegmentReader,
        target: DocId,
        boost: Score,
    ) -> tantivy::Result<(SeekDangerResult, Box<dyn Scorer>)> {
        if self.deadline.passes() {
            return Ok((SeekDangerResult::SeekLowerBound(TERMINATED), Box::new(EmptyScorer)));
        }
        let (at, scorer) = self.weight.scorer_danger(reader, target, boost)?;
        Ok((at, self.bounded(scorer)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.weight.explain(reader, doc)
    }
}

struct BoundedScorer {
    scorer: Box<dyn Scorer>,
    deadline: Deadline,
    /// Findings passed since the last look.
    passed: u32,
    over: bool,
}

impl BoundedScorer {
    fn pass(&mut self) -> bool {
        self.passed += 1;
        if self.passed >= LOOK_EVERY {
            self.passed = 0;
            self.over |= self.deadline.passes();
        }
        !self.over
    }
}

impl DocSet for BoundedScorer {
    fn advance(&mut self) -> DocId {
        if self.pass() { self.scorer.advance() } else { TERMINATED }
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.pass() { self.scorer.seek(target) } else { TERMINATED }
    }

    fn seek_danger(&mut self, target: DocId) -> SeekDangerResult {
        match self.pass() {
            true => self.scorer.seek_danger(target),
            false => SeekDangerResult::SeekLowerBound(TERMINATED),
        }
    }

    /// Whoever takes a buffer looks at the clock.
    fn fill_buffer(&mut self, buffer: &mut [DocId; COLLECT_BLOCK_BUFFER_LEN]) -> usize {
        if self.over { 0 } else { self.scorer.fill_buffer(buffer) }
    }

    fn doc(&self) -> DocId {
        if self.over { TERMINATED } else { self.scorer.doc() }
    }

    fn size_hint(&self) -> u32 {
        self.scorer.size_hint()
    }

    fn cost(&self) -> u64 {
        self.scorer.cost()
    }
}

impl Scorer for BoundedScorer {
    fn score(&mut self) -> Score {
        self.scorer.score()
    }
}

#[expect(clippy::disallowed_methods, reason = "it bounds work: no answer depends on the time")]
fn now() -> Instant {
    Instant::now()
}

//! What rules ask of a row that passed, whichever rule it is: worked out once per row and batch,
//! however many rules the row passes, and for no other row.

use std::sync::Arc;

use sluice_event::{EventBatch, EventUid};

use super::json;

/// Identity and evidence of the rows of one batch, filled in as they are asked for.
#[derive(Debug)]
pub struct RowFacts<'a> {
    pub(super) batch: &'a EventBatch,
    times: &'a [i64],
    texts: Option<json::Rows<'a>>,
    /// Per row: its place in `made` plus one; 0 is none. Empty until a row is asked for.
    places: Vec<u32>,
    made: Vec<Fact>,
}

/// What is the same for every rule that a row passes.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) time: i64,
    pub(super) uid: EventUid,
    /// Whether it came after the watermark of its partition.
    pub(super) late: bool,
    /// The row as compact JSON.
    pub(super) evidence: Arc<str>,
}

impl<'a> RowFacts<'a> {
    /// Of this batch: one for all rules.
    pub fn new(batch: &'a EventBatch) -> Self {
        RowFacts { batch, times: batch.times(), texts: None, places: Vec::new(), made: Vec::new() }
    }

    /// How far a row is behind the newest row before it in its partition, in milliseconds; negative
    /// if it is newer.
    pub(super) fn age(&self, row: u32) -> i64 {
        self.batch.seen_before[row as usize].saturating_sub(self.time(row))
    }

    pub(super) fn of(&mut self, row: u32) -> &Fact {
        if self.places.is_empty() {
            self.places = vec![0; self.batch.len()];
        }
        if self.places[row as usize] == 0 {
            let batch = self.batch;
            let texts = self.texts.get_or_insert_with(|| json::Rows::new(&batch.columns));
            let evidence = texts.text(row as usize);
            self.made.push(Fact {
                time: self.time(row),
                uid: batch.uid(row as usize),
                late: self.age(row) > batch.origin.time.delay,
                evidence,
            });
            self.places[row as usize] = self.made.len() as u32;
        }
        &self.made[self.places[row as usize] as usize - 1]
    }

    fn time(&self, row: u32) -> i64 {
        self.times.get(row as usize).copied().unwrap_or_default()
    }
}

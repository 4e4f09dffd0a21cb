//! Rows that passed the network become findings (stateless rules) or keyed rows for the shards.
//!
//! What can fail is evaluated here, last, on these rows only. What several rules ask of a batch (an expression, a
//! key, an event's identity) is worked out once.

mod evaluate;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, UInt32Array},
    compute::take,
};
use foldhash::fast::RandomState;
use sluice_event::{
    Encoder, Eval, EventBatch, EventUid, EventUids, RowPacker, TimeFlags, packed_json,
};

use crate::{
    Change, Emission, FindingState, KeyedBatch, StreamPlan,
    cells::{Cell, Cells},
    exchange::{Column, KeyedEvent, RowPlace, RuleRows, Span, tuple_hash, vnode},
    stage::KeyColumns,
};
use evaluate::eval_rows;
pub(crate) use evaluate::{assemble, evaluate};

/// Evaluations that failed on a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many rows.
    pub rows: u64,
    /// Why the first did.
    pub first: Option<String>,
}

/// What became of the rows of a rule with state.
#[derive(Clone, Debug, Default)]
pub struct Keyed {
    /// Rows on which an expression failed: they do not match.
    pub failures: Failures,
    /// Rows further behind their partition than the lateness of the source or rule allows.
    pub too_late: u64,
}

/// The rows of one batch on their way out, for all rules of its table.
#[derive(Debug)]
pub struct BatchRows<'a> {
    batch: &'a EventBatch,
    times: &'a [i64],
    /// The column `time_flag`, once it was asked for.
    time_flags: Option<Cells>,
    secret: &'a [u8; 16],
    /// Expressions evaluated over the whole batch; `None`: one fails on some row.
    whole: HashMap<u64, Option<ArrayRef>, RandomState>,
    /// Expressions that a rule has asked for over its rows only.
    asked: HashSet<u64, RandomState>,
    cells: HashMap<u64, Option<Arc<Cells>>, RandomState>,
    uids: EventUids<'a>,
    /// Per row: its identity, if it was asked for.
    known_uids: Vec<Option<EventUid>>,
    packer: Option<RowPacker<'a>>,
    packed: Vec<u8>,
    /// How many rows some rule wanted at most.
    expected: usize,
    /// Per row: where it is in `packed`, if it has been.
    spans: Vec<Option<Span>>,
    texts: HashMap<u32, Arc<str>, RandomState>,
    keys: Encoder,
    /// Per list of key expressions: the key of each row and the shard that owns it.
    known: HashMap<Vec<u64>, Vec<KeyOf>, RandomState>,
    parts: Vec<Part>,
}

/// What one shard gets.
#[derive(Debug, Default)]
struct Part {
    events: Vec<KeyedEvent>,
    /// Per row of the batch: its place in `events` plus one; 0 is none.
    places: Vec<u32>,
    rules: Vec<RuleRows>,
}

#[derive(Clone, Copy, Debug)]
enum KeyOf {
    Unknown,
    /// First-seen rules: a value of the tuple is NULL.
    Null,
    Shard(u32, Span),
}

/// A column as it was evaluated.
#[derive(Clone, Debug)]
struct Evaluated {
    array: ArrayRef,
    /// Of which expression, if it covers the whole batch.
    whole: bool,
    id: Option<u64>,
}

/// Room that is made for packed rows before they come, at most.
const EXPECTED_MAX: usize = 4 << 20;

impl<'a> BatchRows<'a> {
    /// Of this batch, for so many shards. `secret` is the key of [`vnode`](crate::vnode()).
    pub fn new(batch: &'a EventBatch, secret: &'a [u8; 16], shards: usize) -> Self {
        BatchRows {
            batch,
            times: batch.times(),
            time_flags: None,
            secret,
            whole: HashMap::default(),
            asked: HashSet::default(),
            cells: HashMap::default(),
            uids: EventUids::new(batch),
            known_uids: Vec::new(),
            packer: None,
            packed: Vec::new(),
            expected: 0,
            spans: Vec::new(),
            texts: HashMap::default(),
            keys: Encoder::default(),
            known: HashMap::default(),
            parts: (0..shards.max(1)).map(|_| Part::default()).collect(),
        }
    }

    /// The findings of a stateless rule among `rows`.
    pub fn stateless(
        &mut self,
        plan: &StreamPlan,
        rule_index: usize,
        branch: usize,
        rows: &[u32],
    ) -> (Vec<Emission>, Failures) {
        let mut failures = Failures::default();
        let Some((rows, columns)) = self.matching(plan, branch, rows.to_vec(), &mut failures)
        else {
            return (Vec::new(), failures);
        };
        let indices = UInt32Array::from(rows.clone());
        let columns: Result<Vec<ArrayRef>, String> = columns
            .into_iter()
            .map(|c| match c.whole {
                true => take(&c.array, &indices, None).map_err(|e| e.to_string()),
                false => Ok(c.array),
            })
            .collect();
        let columns = match columns.and_then(|c| assemble(&plan.output, c, rows.len())) {
            Ok(columns) => Arc::new(columns),
            Err(error) => {
                failures.add(rows.len(), error);
                return (Vec::new(), failures);
            }
        };
        let emission = |(row, origin): (usize, u32)| Emission {
            rule_index,
            key: row_key(self.uid(origin)),
            change: Change::Upsert(FindingState::Confirmed),
            time: self.time(origin),
            window: None,
            count: 1,
            late: self.is_too_late(origin),
            time_flags: self.time_flags(origin),
            capped_by: Vec::new(),
            columns: columns.clone(),
            row,
            evidence: vec![self.text(origin)],
            evidence_total: 1,
        };
        (rows.into_iter().enumerate().map(emission).collect(), failures)
    }

    /// Takes the rows of a rule with state; [`finish`](Self::finish) hands them over.
    pub fn keyed(
        &mut self,
        plan: &StreamPlan,
        rule_index: usize,
        branch: usize,
        rows: &[u32],
    ) -> Keyed {
        let mut out = Keyed::default();
        let lateness = plan.lateness.unwrap_or(self.batch.origin.time.lateness);
        let in_time = |row: &u32| self.age(*row) <= lateness;
        let accepted: Vec<u32> = rows.iter().copied().filter(in_time).collect();
        out.too_late = (rows.len() - accepted.len()) as u64;
        let Some((rows, columns)) = self.matching(plan, branch, accepted, &mut out.failures) else {
            return out;
        };
        let cells = columns.iter().map(|c| self.cells(c)).collect::<Option<Vec<_>>>();
        let Some(cells) = cells else {
            out.failures.add(rows.len(), "a key or argument is a list or struct".to_owned());
            return out;
        };
        let (order, hashed, whole) = match plan.stage.keyed().map(|k| k.key(columns.len())) {
            Some(KeyColumns::Values(order)) => (order, false, None),
            Some(KeyColumns::Hash(order)) => (order, true, None),
            Some(KeyColumns::Rule) => (Vec::new(), false, Some(plan.rule.clone())),
            Some(KeyColumns::OtherRule(rule)) => (Vec::new(), false, Some(rule)),
            None => return out,
        };
        let whole = whole.map(|rule| self.key([Cell::Text(&rule)].into_iter(), false));
        // An expression over the rule's rows only has no identity in the batch.
        let ids = order.iter().map(|i| columns[*i].id.filter(|_| columns[*i].whole));
        let ids = ids.chain([Some(u64::from(hashed))]).collect::<Option<Vec<u64>>>();
        let ids = ids.filter(|_| whole.is_none());
        let mut known = ids.as_ref().and_then(|ids| self.known.remove(ids)).unwrap_or_default();
        known.resize(self.batch.len(), KeyOf::Unknown);
        let columns: Vec<Column> =
            columns.iter().zip(cells).map(|(c, cells)| Column { cells, whole: c.whole }).collect();
        self.expected = self.expected.max(rows.len());
        let share = rows.len().div_ceil(self.parts.len());
        let mut places: Vec<Vec<RowPlace>> =
            self.parts.iter().map(|_| Vec::with_capacity(share)).collect();
        for (at, row) in rows.into_iter().enumerate() {
            let cell = |i: usize| {
                let column = &columns[i];
                column.cells.get(if column.whole { row as usize } else { at })
            };
            if matches!(known[row as usize], KeyOf::Unknown) {
                let key = || self.key(order.iter().map(|i| cell(*i)), hashed);
                known[row as usize] = whole.unwrap_or_else(key);
            }
            let KeyOf::Shard(shard, key) = known[row as usize] else { continue };
            let event = self.event(shard as usize, row);
            places[shard as usize].push(RowPlace { event, row, at: at as u32, key });
        }
        if let Some(ids) = ids {
            self.known.insert(ids, known);
        }
        let columns: Arc<[Column]> = columns.into();
        for (part, rows) in self.parts.iter_mut().zip(places) {
            if !rows.is_empty() {
                part.rules.push(RuleRows { rule_index, rows, columns: columns.clone() });
            }
        }
        out
    }

    /// Per shard: its rows, if it has any.
    pub fn finish(self) -> Vec<Option<KeyedBatch>> {
        let packed = Arc::new(self.packed);
        let keys = Arc::new(self.keys.into_bytes());
        let schema = self.batch.columns.schema();
        let batch = |part: Part| {
            (!part.events.is_empty()).then(|| KeyedBatch {
                schema: schema.clone(),
                packed: packed.clone(),
                keys: keys.clone(),
                events: part.events,
                rules: part.rules,
            })
        };
        self.parts.into_iter().map(batch).collect()
    }

    /// How far a row is behind the newest row before it in its partition, in milliseconds; negative
    /// if it is newer.
    fn age(&self, row: u32) -> i64 {
        self.batch.seen_before[row as usize].saturating_sub(self.time(row))
    }

    /// Whether what keeps state does not see it: the same in every run.
    fn is_too_late(&self, row: u32) -> bool {
        self.age(row) > self.batch.origin.time.lateness
    }

    fn is_late(&self, row: u32) -> bool {
        self.age(row) > self.batch.origin.time.delay
    }

    /// What is wrong with the time that a row claims.
    fn time_flags(&mut self, row: u32) -> TimeFlags {
        let batch = self.batch;
        let flags = self.time_flags.get_or_insert_with(|| {
            let column = batch.columns.column_by_name("time_flag");
            column.and_then(Cells::new).unwrap_or(Cells::Null)
        });
        match flags.get(row as usize) {
            Cell::Text(flag) => TimeFlags::of(flag),
            Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) | Cell::Time(_) => {
                TimeFlags::NONE
            }
        }
    }

    fn time(&self, row: u32) -> i64 {
        self.times.get(row as usize).copied().unwrap_or_default()
    }

    fn uid(&mut self, row: u32) -> EventUid {
        if self.known_uids.is_empty() {
            self.known_uids = vec![None; self.batch.len()];
        }
        *self.known_uids[row as usize].get_or_insert_with(|| self.uids.of(row as usize))
    }

    fn packed(&mut self, row: u32) -> Span {
        if self.spans.is_empty() {
            self.spans = vec![None; self.batch.len()];
        }
        if let Some(span) = self.spans[row as usize] {
            return span;
        }
        let batch = self.batch;
        let packer = self.packer.get_or_insert_with(|| RowPacker::new(batch));
        let start = self.packed.len();
        packer.pack(row as usize, &mut self.packed);
        let span = Span::since(self.packed.len(), start);
        if start == 0 {
            // Others are about as long: growing would copy all of them again and again.
            let others = self.expected.saturating_sub(1).saturating_mul(self.packed.len());
            self.packed.reserve((others + others / 8).min(EXPECTED_MAX));
        }
        self.spans[row as usize] = Some(span);
        span
    }

    fn text(&mut self, row: u32) -> Arc<str> {
        if let Some(text) = self.texts.get(&row) {
            return text.clone();
        }
        let (span, uid) = (self.packed(row), self.uid(row));
        let packed = span.of(&self.packed);
        let text = packed_json(packed, self.batch.columns.schema_ref(), uid).unwrap_or_default();
        self.texts.entry(row).or_insert(text.into()).clone()
    }

    /// The place of a row among the events of a shard.
    fn event(&mut self, shard: usize, row: u32) -> u32 {
        let part = &mut self.parts[shard];
        if part.places.is_empty() {
            part.places = vec![0; self.batch.len()];
        }
        if part.places[row as usize] == 0 {
            let (uid, packed) = (self.uid(row), self.packed(row));
            let (time, late) = (self.time(row), self.is_late(row));
            let time_flags = self.time_flags(row);
            let part = &mut self.parts[shard];
            part.events.push(KeyedEvent { time, uid, late, time_flags, packed });
            part.places[row as usize] = part.events.len() as u32;
        }
        self.parts[shard].places[row as usize] - 1
    }

    fn key<'c>(&mut self, cells: impl Iterator<Item = Cell<'c>>, hashed: bool) -> KeyOf {
        let start = self.keys.len();
        for cell in cells {
            if hashed && cell == Cell::Null {
                return KeyOf::Null;
            }
            cell.encode(&mut self.keys);
        }
        let mut span = Span::since(self.keys.len(), start);
        if hashed {
            let hash = tuple_hash(self.secret, span.of(self.keys.as_bytes()));
            let start = self.keys.len();
            self.keys.append(&hash);
            span = Span::since(self.keys.len(), start);
        }
        let vnode = usize::from(vnode(self.secret, span.of(self.keys.as_bytes())));
        KeyOf::Shard((vnode % self.parts.len()) as u32, span)
    }

    fn cells(&mut self, column: &Evaluated) -> Option<Arc<Cells>> {
        match column.id.filter(|_| column.whole) {
            None => Cells::new(&column.array).map(Arc::new),
            Some(id) => {
                let make = || Cells::new(&column.array).map(Arc::new);
                self.cells.entry(id).or_insert_with(make).clone()
            }
        }
    }

    /// The rows that also pass the branch's residual, with their intermediate columns.
    fn matching(
        &mut self,
        plan: &StreamPlan,
        branch: usize,
        mut rows: Vec<u32>,
        failures: &mut Failures,
    ) -> Option<(Vec<u32>, Vec<Evaluated>)> {
        let branch = plan.branches.get(branch)?;
        for condition in &branch.residual {
            if rows.is_empty() {
                return None;
            }
            let (kept, verdicts) =
                eval_rows(std::slice::from_ref(condition), &self.batch.columns, rows, failures);
            let verdicts = verdicts.first()?.as_boolean_opt()?;
            let kept = kept.into_iter().zip(verdicts).filter(|(_, v)| *v == Some(true));
            rows = kept.map(|(row, _)| row).collect();
        }
        let (rows, columns) = self.evaluate(&branch.columns, rows, failures);
        (!rows.is_empty()).then_some((rows, columns))
    }

    /// Every expression on every row: over the whole batch where it is a column, many rows are asked
    /// for or another rule has asked, else over the rows. Rows on which one fails are left out and counted.
    fn evaluate(
        &mut self,
        evals: &[Arc<dyn Eval>],
        rows: Vec<u32>,
        failures: &mut Failures,
    ) -> (Vec<u32>, Vec<Evaluated>) {
        let many = rows.len() * 4 >= self.batch.len();
        let mut columns: Vec<Option<Evaluated>> =
            evals.iter().map(|eval| self.over_all(eval.as_ref(), many)).collect();
        let rest: Vec<Arc<dyn Eval>> = evals
            .iter()
            .zip(&columns)
            .filter(|(_, c)| c.is_none())
            .map(|(eval, _)| eval.clone())
            .collect();
        let mut kept = rows;
        if !rest.is_empty() {
            let (rows, arrays) = eval_rows(&rest, &self.batch.columns, kept, failures);
            kept = rows;
            let missing = columns.iter_mut().filter(|c| c.is_none());
            for (column, array) in missing.zip(arrays) {
                *column = Some(Evaluated { array, whole: false, id: None });
            }
        }
        (kept, columns.into_iter().flatten().collect())
    }

    fn over_all(&mut self, eval: &dyn Eval, many: bool) -> Option<Evaluated> {
        let id = eval.id();
        if let Some(index) = eval.column() {
            let array = self.batch.columns.columns().get(index)?.clone();
            return Some(Evaluated { array, whole: true, id });
        }
        let id = id?;
        if !many && !self.whole.contains_key(&id) && self.asked.insert(id) {
            return None;
        }
        let batch = &self.batch.columns;
        let array = self.whole.entry(id).or_insert_with(|| eval.eval(batch).ok()).clone()?;
        Some(Evaluated { array, whole: true, id: Some(id) })
    }
}

/// The row key of a finding that is one row: of stateless and first-seen rules.
pub fn row_key(uid: EventUid) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.bytes(&uid.bits.to_be_bytes());
    encoder.into_bytes()
}

impl Failures {
    pub(crate) fn add(&mut self, rows: usize, why: String) {
        self.rows += rows as u64;
        self.first.get_or_insert(why);
    }
}

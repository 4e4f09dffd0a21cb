//! How the rows of a window are kept: which intermediate columns, where, and what aggregates read of
//! them. Worked out once per rule.

use std::borrow::Cow;

use sluice_event::{TimeFlags, Value};

use crate::{
    AggregateFunction, WindowPlan,
    cells::Cell,
    events::{EventRef, EventStore},
    operator::{Arrival, Restore},
    stage::key_order,
    state::{Reader, StateError, Writer},
    texts::Texts,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The intermediate column behind each value of a row.
    columns: Vec<usize>,
    /// The boolean intermediate column behind each filter bit.
    filters: Vec<usize>,
    pub(crate) aggregates: Vec<Compiled>,
    /// The numbers of the keys in the order in which they are encoded.
    key_order: Vec<usize>,
}

/// Filters of a rule that are bits of a row.
const FILTERS: usize = 40;

/// An aggregate over kept rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compiled {
    pub(crate) function: AggregateFunction,
    pub(crate) argument: Argument,
    /// Bits that a row must have to count.
    need: u64,
    /// A value that must be TRUE: filters beyond the bits there are.
    filter: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// The row itself: `count(*)`.
    Row,
    /// Its event time.
    Time,
    /// The n-th kept value.
    Value(usize),
}

/// The bit above an event reference that marks late rows.
const LATE: u32 = 63;
/// The first of the bits that say what is wrong with the time of a row.
const TIME_FLAGS: u32 = LATE - TimeFlags::COUNT as u32;
// Flags, and the reference below them.
const _: () = assert!(TIME_FLAGS >= EventRef::BITS);

/// A kept row: 24 bytes, and 24 for each value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) time: i64,
    /// Its event, whether it was late and what is wrong with its time.
    tags: u64,
    /// Which filters it passes.
    pub(crate) bits: u64,
}

/// A row with its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowView<'a> {
    pub(crate) row: Row,
    pub(crate) values: &'a [Value],
}

impl Layout {
    pub(crate) fn new(plan: &WindowPlan) -> Self {
        let (mut columns, mut filters) = (Vec::new(), Vec::new());
        let place = |list: &mut Vec<usize>, column: usize| {
            list.iter().position(|c| *c == column).unwrap_or_else(|| {
                list.push(column);
                list.len() - 1
            })
        };
        let mut aggregates = plan
            .aggregates
            .iter()
            .map(|aggregate| Compiled {
                function: aggregate.function,
                argument: match aggregate.argument {
                    None => Argument::Row,
                    Some(column) if plan.times.contains(&column) => Argument::Time,
                    Some(column) => Argument::Value(place(&mut columns, column)),
                },
                need: 0,
                filter: None,
            })
            .collect::<Vec<Compiled>>();
        for (compiled, aggregate) in aggregates.iter_mut().zip(&plan.aggregates) {
            let Some(column) = aggregate.filter else { continue };
            let bit = place(&mut filters, column);
            if bit < FILTERS {
                compiled.need = 1 << bit;
            } else {
                filters.pop();
                compiled.filter = Some(place(&mut columns, column));
            }
        }
        Layout { columns, filters, aggregates, key_order: key_order(plan) }
    }

    /// The intermediate columns behind the values of a row.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The intermediate columns behind the filter bits of a row.
    pub(crate) fn filters(&self) -> &[usize] {
        &self.filters
    }

    /// The same over rows that several rules share: `bits` and `columns` say where each filter bit
    /// and value is there, `own` is the bit of the rows of this rule.
    pub(crate) fn shared(&self, own: u64, bits: &[u32], columns: &[usize]) -> Layout {
        let place = |n: usize| columns.get(n).copied().unwrap_or_default();
        let shared = |compiled: &Compiled| Compiled {
            function: compiled.function,
            argument: match compiled.argument {
                Argument::Value(n) => Argument::Value(place(n)),
                other => other,
            },
            need: (0..)
                .zip(bits)
                .filter(|(n, _)| compiled.need >> n & 1 == 1)
                .fold(own, |need, (_, bit)| need | 1 << bit),
            filter: compiled.filter.map(place),
        };
        Layout {
            columns: self.columns.clone(),
            filters: self.filters.clone(),
            aggregates: self.aggregates.iter().map(shared).collect(),
            key_order: self.key_order.clone(),
        }
    }

    /// How many values a row has.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// A row as it is kept; its values are appended.
    pub(crate) fn keep(
        &self,
        arrival: &Arrival<'_>,
        texts: &mut Texts,
        values: &mut Vec<Value>,
    ) -> Row {
        let mut bits = 0;
        for (bit, column) in self.filters.iter().enumerate() {
            if arrival.cell(*column) == Cell::Bool(true) {
                bits |= 1 << bit;
            }
        }
        values.extend(self.columns.iter().map(|column| texts.value(arrival.cell(*column))));
        Row::new(arrival, bits)
    }

    /// The values of the group keys by number.
    pub(crate) fn keys(&self, encoded: &[u8]) -> Box<[Value]> {
        let decoded = sluice_event::decode_values(encoded).unwrap_or_default();
        let mut keys = vec![Value::Null; self.key_order.len()];
        for (number, value) in self.key_order.iter().zip(decoded) {
            if let Some(key) = keys.get_mut(*number) {
                *key = value;
            }
        }
        keys.into()
    }
}

impl Compiled {
    /// The value a row gives; `None` if it does not count.
    pub(crate) fn counted<'a>(&self, row: &RowView<'a>) -> Option<Cow<'a, Value>> {
        if !self.passes(row) {
            return None;
        }
        match self.argument {
            Argument::Row => Some(Cow::Owned(Value::Bool(true))),
            Argument::Time => Some(Cow::Owned(Value::Time(row.row.time))),
            Argument::Value(n) => row.values.get(n).filter(|v| !v.is_null()).map(Cow::Borrowed),
        }
    }

    /// Whether a row passes the filter of the aggregate.
    pub(crate) fn passes(&self, row: &RowView<'_>) -> bool {
        let passes = |n: usize| row.values.get(n).and_then(Value::as_bool) == Some(true);
        row.row.bits & self.need == self.need && self.filter.is_none_or(passes)
    }

    /// Whether it reads a value to filter.
    pub(crate) fn has_value_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// The bits that a row must have to count.
    pub(crate) fn need(&self) -> u64 {
        self.need
    }

    /// Whether every row counts once: `count(*)`.
    pub(crate) fn is_rows(&self) -> bool {
        self.function == AggregateFunction::Count
            && self.argument == Argument::Row
            && self.need == 0
            && self.filter.is_none()
    }
}

impl Row {
    pub(crate) fn new(arrival: &Arrival<'_>, bits: u64) -> Row {
        let flags = u64::from(arrival.time_flags.bits()) << TIME_FLAGS;
        let tags = arrival.event.0 | u64::from(arrival.late) << LATE | flags;
        Row { time: arrival.time, tags, bits }
    }

    /// With the tags that [`tags`](Row::tags) gave.
    pub(crate) fn tagged(time: i64, tags: u64, bits: u64) -> Row {
        Row { time, tags, bits }
    }

    /// Its event, whether it was late and what is wrong with its time.
    pub(crate) fn tags(&self) -> u64 {
        self.tags
    }

    pub(crate) fn event(&self) -> EventRef {
        EventRef(self.tags & ((1 << EventRef::BITS) - 1))
    }

    pub(crate) fn is_late(&self) -> bool {
        self.tags >> LATE == 1
    }

    pub(crate) fn time_flags(&self) -> TimeFlags {
        TimeFlags::from_bits((self.tags >> TIME_FLAGS) as u8)
    }
}

/// The rows of one key, in order of (time, id) after [`sort`](Rows::sort).
///
/// Its first and last times and how many rows it has are in place: most of what is asked of a key is answered
/// without its rows, which are elsewhere in memory.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    list: List,
    /// Row after row.
    values: Vec<Value>,
    /// The least time of a row.
    first: i64,
    /// The time of the last row in the list.
    last: i64,
    /// How many of the first rows are known to be in order.
    sorted: u32,
}

/// Rows; one alone is in place.
#[derive(Debug, Default)]
enum List {
    #[default]
    None,
    One(Row),
    Many(Vec<Row>),
}

impl List {
    fn slice(&self) -> &[Row] {
        match self {
            List::None => &[],
            List::One(row) => std::slice::from_ref(row),
            List::Many(rows) => rows,
        }
    }

    fn slice_mut(&mut self) -> &mut [Row] {
        match self {
            List::None => &mut [],
            List::One(row) => std::slice::from_mut(row),
            List::Many(rows) => rows,
        }
    }

    fn push(&mut self, row: Row) {
        match self {
            List::None => *self = List::One(row),
            List::One(first) => {
                let mut rows = Vec::with_capacity(SECOND);
                rows.extend([*first, row]);
                *self = List::Many(rows);
            }
            List::Many(rows) => {
                grow(rows, 1);
                rows.push(row);
            }
        }
    }

    /// Takes rows out.
    fn reduce(&mut self, take: impl FnOnce(&mut Vec<Row>)) {
        let mut rows = match std::mem::take(self) {
            List::None => return,
            List::One(row) => vec![row],
            List::Many(rows) => rows,
        };
        take(&mut rows);
        *self = match rows.as_slice() {
            [] => List::None,
            [row] => List::One(*row),
            _ => List::Many(rows),
        };
    }

    /// Bytes beside its own.
    fn bytes(&self) -> usize {
        match self {
            List::None | List::One(_) => 0,
            List::Many(rows) => rows.capacity() * size_of::<Row>(),
        }
    }
}

/// A key with a second row has room for so many.
const SECOND: usize = 4;
/// Up to so many a list doubles.
const SHORT_LIST: usize = 8;

/// Makes room for some more. A key with one row has room for one, which most have. A list that is not short grows
/// by half at once: doubling would leave a third of the memory empty.
fn grow<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        let spare = match list.len() {
            0 => 0,
            few if few < SHORT_LIST => few.max((SECOND - 1) * more),
            many => many / 2,
        };
        list.reserve_exact(more.max(spare));
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.list().len()
    }

    pub(crate) fn list(&self) -> &[Row] {
        self.list.slice()
    }

    /// Reads where the next row goes: see [`Operator::fetch`](crate::operator::Operator::fetch).
    pub(crate) fn fetch(&self) -> u64 {
        let last = self.list().last().map_or(0, |row| row.bits);
        last ^ u64::from(self.values.last().is_some_and(Value::is_null))
    }

    /// The least time of a row; `None` without one.
    pub(crate) fn first_time(&self) -> Option<i64> {
        (self.len() > 0).then_some(self.first)
    }

    /// The time of the last row; `None` without one.
    pub(crate) fn last_time(&self) -> Option<i64> {
        (self.len() > 0).then_some(self.last)
    }

    /// Brings the times in place up to date.
    fn set_times(&mut self) {
        let list = self.list();
        let first = match self.is_sorted() {
            true => list.first().map(|row| row.time),
            false => list.iter().map(|row| row.time).min(),
        };
        let last = list.last().map(|row| row.time);
        (self.first, self.last) = (first.unwrap_or_default(), last.unwrap_or_default());
    }

    /// How many values a row has.
    fn width(&self) -> usize {
        self.values.len() / self.len().max(1)
    }

    pub(crate) fn view(&self, at: usize) -> RowView<'_> {
        let width = self.width();
        let values = self.values.get(at * width..(at + 1) * width).unwrap_or_default();
        RowView { row: self.list()[at], values }
    }

    pub(crate) fn push(&mut self, layout: &Layout, arrival: &Arrival<'_>, texts: &mut Texts) {
        grow(&mut self.values, layout.width());
        let row = layout.keep(arrival, texts, &mut self.values);
        self.append(row);
    }

    /// A row with its values.
    pub(crate) fn push_row(&mut self, row: Row, values: impl ExactSizeIterator<Item = Value>) {
        grow(&mut self.values, values.len());
        self.values.extend(values);
        self.append(row);
    }

    fn append(&mut self, row: Row) {
        // Ties are put in order by their ids with the next sort.
        let is_first = self.len() == 0;
        let in_order = is_first || self.last < row.time;
        if in_order && self.is_sorted() {
            self.sorted += 1;
        }
        self.first = if is_first { row.time } else { self.first.min(row.time) };
        self.last = row.time;
        self.list.push(row);
    }

    /// Whether all rows are known to be in order.
    pub(crate) fn is_sorted(&self) -> bool {
        self.sorted as usize == self.len()
    }

    /// Puts rows that came out of order in their places. Rows before the one returned stay where
    /// they are.
    pub(crate) fn sort(&mut self, events: &EventStore) -> usize {
        let length = self.len();
        let sorted = (self.sorted as usize).min(length);
        if sorted == length {
            return sorted;
        }
        let id = |row: &Row| events.uid(row.event()).bits;
        let order = |a: &Row, b: &Row| a.time.cmp(&b.time).then_with(|| id(a).cmp(&id(b)));
        let ordered = |a: &Row, b: &Row| order(a, b).is_le();
        self.sorted = length as u32;
        let list = self.list();
        if list[sorted.saturating_sub(1)..].is_sorted_by(ordered) {
            return length;
        }
        let least = list[sorted..].iter().map(|r| r.time).min().unwrap_or(i64::MIN);
        let first = list[..sorted].partition_point(|r| r.time < least);
        if self.values.is_empty() {
            self.list.slice_mut()[first..].sort_by(order);
            self.set_times();
            return first;
        }
        let width = self.width();
        let mut places: Vec<usize> = (first..length).collect();
        places.sort_by(|a, b| order(&list[*a], &list[*b]));
        let rows: Vec<Row> = places.iter().map(|at| list[*at]).collect();
        let moved = places.iter().flat_map(|at| self.view(*at).values.iter().cloned());
        let values: Vec<Value> = moved.collect();
        self.list.slice_mut()[first..].copy_from_slice(&rows);
        self.values.truncate(first * width);
        self.values.extend(values);
        self.set_times();
        first
    }

    /// The first row at or after `time`.
    pub(crate) fn from(&self, time: i64) -> usize {
        self.list().partition_point(|r| r.time < time)
    }

    /// The first row after `time`.
    pub(crate) fn after(&self, time: i64) -> usize {
        self.list().partition_point(|r| r.time <= time)
    }

    /// Drops the first rows.
    pub(crate) fn drop_first(&mut self, rows: usize) {
        let rows = rows.min(self.len());
        if rows == 0 {
            return;
        }
        let width = self.width();
        self.sorted = self.sorted.saturating_sub(rows as u32);
        self.list.reduce(|list| {
            list.drain(..rows);
            shrink(list);
        });
        self.values.drain(..rows * width);
        shrink(&mut self.values);
        self.set_times();
    }

    /// Keeps the rows for which `keep` says so; they are in order.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let width = self.width();
        let mut at = 0;
        self.list.reduce(|list| {
            list.retain(|_| {
                at += 1;
                keep.get(at - 1) == Some(&true)
            });
        });
        self.sorted = self.len() as u32;
        self.set_times();
        let mut at = 0;
        self.values.retain(|_| {
            at += 1;
            keep.get((at - 1) / width) == Some(&true)
        });
    }

    /// A row whose bits and values are to be changed.
    pub(crate) fn row_mut(&mut self, at: usize) -> Option<(&mut Row, &mut [Value])> {
        let width = self.width();
        let values = self.values.get_mut(at * width..(at + 1) * width)?;
        Some((self.list.slice_mut().get_mut(at)?, values))
    }

    /// Bytes beside its own.
    pub(crate) fn bytes(&self) -> usize {
        self.list.bytes() + self.values.capacity() * size_of::<Value>()
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.length(self.len());
        let (mut time, mut tags) = (0_i64, 0_u64);
        for at in 0..self.len() {
            let view = self.view(at);
            w.signed(view.row.time.wrapping_sub(time));
            w.signed(view.row.tags.wrapping_sub(tags) as i64);
            w.unsigned(view.row.bits);
            (time, tags) = (view.row.time, view.row.tags);
            view.values.iter().for_each(|v| w.value(v));
        }
    }

    pub(crate) fn decode(
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Self, StateError> {
        let mut rows = Rows::default();
        let (mut time, mut tags) = (0_i64, 0_u64);
        let mut values = Vec::with_capacity(layout.width());
        for _ in 0..r.unsigned()? {
            time = time.wrapping_add(r.signed()?);
            tags = tags.wrapping_add(r.signed()? as u64);
            let bits = r.unsigned()?;
            for _ in 0..layout.width() {
                values.push(restore.texts.value(Cell::of(&r.value()?)));
            }
            rows.push_row(Row { time, tags: restore.tagged(tags), bits }, values.drain(..));
        }
        // Ids are those of the events, where these are now.
        rows.sorted = 0;
        Ok(rows)
    }
}

/// Gives memory back once three quarters of it are unused.
fn shrink<T>(list: &mut Vec<T>) {
    if list.capacity() > 64 && list.len() * 4 < list.capacity() {
        list.shrink_to(list.len() * 2);
    }
}

//! Aggregates that take rows in and, over sliding windows, out again. Exact and independent of the
//! order of rows, floating-point sums included.

mod sum;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use sluice_event::{Value, ValueList};

use super::layout::{Compiled, RowView};
use crate::{
    AggregateFunction, LIST_MAX,
    cells::Cell,
    state::{Reader, StateError, Writer},
    texts::Texts,
};
use sum::Sum;

/// Whether rows ever leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Rows only come: least and greatest need one value.
    Growing,
    /// Rows come and leave: least and greatest need them all.
    Sliding,
}

/// Whether rows come in or leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// One running value per aggregate of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Accumulators(Vec<Accumulator>);

#[derive(Clone, Debug)]
#[expect(clippy::box_collection, reason = "every key has them: a count must not cost a map")]
enum Accumulator {
    Count(i64),
    Distinct(Box<HashMap<Value, u32, RandomState>>),
    Sum(Box<Sum>),
    Mean(Box<Sum>),
    Extreme { greatest: bool, value: Option<Value> },
    Ordered { greatest: bool, values: Box<BTreeMap<Value, u32>> },
    List(Box<Listed>),
}

/// What a list is made of: the least values, and while rows only come no more than show that there
/// are others. Whatever the order of rows, the same ones stay.
#[derive(Clone, Debug)]
struct Listed {
    distinct: bool,
    mode: Mode,
    values: BTreeMap<Value, u32>,
}

impl Accumulators {
    pub(crate) fn new<'a>(aggregates: impl IntoIterator<Item = &'a Compiled>, mode: Mode) -> Self {
        let new = |a: &Compiled| match (a.function, mode) {
            (AggregateFunction::Count, _) => Accumulator::Count(0),
            (AggregateFunction::CountDistinct, _) => Accumulator::Distinct(Box::default()),
            (AggregateFunction::Sum, _) => Accumulator::Sum(Box::default()),
            (AggregateFunction::Avg, _) => Accumulator::Mean(Box::default()),
            (f @ (AggregateFunction::Min | AggregateFunction::Max), mode) => {
                let greatest = f == AggregateFunction::Max;
                match mode {
                    Mode::Growing => Accumulator::Extreme { greatest, value: None },
                    Mode::Sliding => Accumulator::Ordered { greatest, values: Box::default() },
                }
            }
            (f @ (AggregateFunction::List | AggregateFunction::ListDistinct), mode) => {
                let distinct = f == AggregateFunction::ListDistinct;
                Accumulator::List(Box::new(Listed { distinct, mode, values: BTreeMap::new() }))
            }
        };
        Accumulators(aggregates.into_iter().map(new).collect())
    }

    /// A row comes in. At most `distinct_max` distinct values are kept; `false` if one was not.
    pub(crate) fn add<'a>(
        &mut self,
        aggregates: impl IntoIterator<Item = &'a Compiled>,
        row: &RowView<'_>,
        distinct_max: usize,
    ) -> bool {
        let mut kept = true;
        for (accumulator, aggregate) in self.0.iter_mut().zip(aggregates) {
            if let Some(value) = aggregate.counted(row) {
                kept &= accumulator.add(&value, distinct_max);
            }
        }
        kept
    }

    /// A row that came in leaves. Only in [`Mode::Sliding`].
    pub(crate) fn remove<'a>(
        &mut self,
        aggregates: impl IntoIterator<Item = &'a Compiled>,
        row: &RowView<'_>,
    ) {
        for (accumulator, aggregate) in self.0.iter_mut().zip(aggregates) {
            if let Some(value) = aggregate.counted(row) {
                accumulator.remove(&value);
            }
        }
    }

    /// The rows that another one summed up come in, or leave again. `of` says which of its aggregates
    /// stands for each of these. Both are exact, so what left leaves no trace.
    pub(crate) fn merge(
        &mut self,
        other: &Accumulators,
        of: impl IntoIterator<Item = usize>,
        way: Way,
    ) {
        for (accumulator, index) in self.0.iter_mut().zip(of) {
            if let Some(other) = other.0.get(index) {
                accumulator.merge(other, way);
            }
        }
    }

    /// How many aggregates there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The result of one aggregate.
    pub(crate) fn value(&self, index: usize) -> Value {
        self.0.get(index).map_or(Value::Null, Accumulator::value)
    }

    /// The results in the order of the aggregates.
    pub(crate) fn values(&self) -> Box<[Value]> {
        self.0.iter().map(Accumulator::value).collect()
    }

    /// Roughly how many bytes this holds.
    pub(crate) fn bytes(&self) -> usize {
        let own = |a: &Accumulator| match a {
            Accumulator::Distinct(values) => 64 + values.len() * 64,
            Accumulator::Ordered { values, .. } => 64 + values.len() * 64,
            Accumulator::List(list) => 64 + list.values.len() * 64,
            Accumulator::Count(_)
            | Accumulator::Sum(_)
            | Accumulator::Mean(_)
            | Accumulator::Extreme { .. } => 64,
        };
        self.0.iter().map(own).sum()
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        for accumulator in &self.0 {
            match accumulator {
                Accumulator::Count(n) => w.signed(*n),
                Accumulator::Distinct(values) => {
                    let mut sorted: Vec<(&Value, &u32)> = values.iter().collect();
                    sorted.sort_unstable();
                    encode_multiset(sorted.into_iter(), w);
                }
                Accumulator::Sum(sum) | Accumulator::Mean(sum) => sum.encode(w),
                Accumulator::Extreme { value, .. } => w.values(value.as_slice()),
                Accumulator::Ordered { values, .. } => encode_multiset(values.iter(), w),
                Accumulator::List(list) => encode_multiset(list.values.iter(), w),
            }
        }
    }

    /// Reads what [`Self::encode`] wrote for the same aggregates and mode.
    pub(crate) fn decode(
        aggregates: &[Compiled],
        mode: Mode,
        r: &mut Reader<'_>,
        texts: &mut Texts,
    ) -> Result<Self, StateError> {
        let mut new = Self::new(aggregates, mode);
        let mut entry =
            |r: &mut Reader<'_>| Ok((texts.value(Cell::of(&r.value()?)), r.unsigned()? as u32));
        for accumulator in &mut new.0 {
            match accumulator {
                Accumulator::Count(n) => *n = r.signed()?,
                Accumulator::Distinct(values) => {
                    **values = r.list(&mut entry)?.into_iter().collect()
                }
                Accumulator::Sum(sum) | Accumulator::Mean(sum) => **sum = Sum::decode(r)?,
                Accumulator::Extreme { value, .. } => *value = r.list(Reader::value)?.pop(),
                Accumulator::Ordered { values, .. } => {
                    **values = r.list(&mut entry)?.into_iter().collect();
                }
                Accumulator::List(list) => {
                    list.values = r.list(&mut entry)?.into_iter().collect();
                }
            }
        }
        Ok(new)
    }
}

fn encode_multiset<'a>(
    values: impl ExactSizeIterator<Item = (&'a Value, &'a u32)>,
    w: &mut Writer,
) {
    w.length(values.len());
    for (value, count) in values {
        w.value(value);
        w.unsigned(u64::from(*count));
    }
}

impl Accumulator {
    fn add(&mut self, value: &Value, distinct_max: usize) -> bool {
        match self {
            Accumulator::Count(n) => *n += 1,
            Accumulator::Distinct(values) => {
                if let Some(count) = values.get_mut(value) {
                    *count = count.saturating_add(1);
                } else if values.len() < distinct_max {
                    values.insert(value.clone(), 1);
                } else {
                    return false;
                }
            }
            Accumulator::Sum(sum) | Accumulator::Mean(sum) => sum.add(value, 1),
            Accumulator::Extreme { greatest, value: best } => {
                if best.as_ref().is_none_or(|b| if *greatest { value > b } else { value < b }) {
                    *best = Some(value.clone());
                }
            }
            Accumulator::Ordered { values, .. } => *values.entry(value.clone()).or_default() += 1,
            Accumulator::List(list) => list.add(value),
        }
        true
    }

    fn remove(&mut self, value: &Value) {
        match self {
            Accumulator::Count(n) => *n -= 1,
            Accumulator::Distinct(values) => {
                if let Some(count) = values.get_mut(value) {
                    *count -= 1;
                    if *count == 0 {
                        values.remove(value);
                    }
                }
            }
            Accumulator::Sum(sum) | Accumulator::Mean(sum) => sum.add(value, -1),
            Accumulator::Extreme { .. } => {}
            Accumulator::Ordered { values, .. } => take_out(values, value),
            Accumulator::List(list) => take_out(&mut list.values, value),
        }
    }

    /// `other` holds what rows of the same aggregate came to, in [`Mode::Growing`].
    fn merge(&mut self, other: &Accumulator, way: Way) {
        let sign = if way == Way::In { 1 } else { -1 };
        match (self, other) {
            (Accumulator::Count(n), Accumulator::Count(m)) => *n += sign * m,
            (Accumulator::Distinct(values), Accumulator::Distinct(others)) => {
                others.iter().for_each(|(value, count)| {
                    let known = values.entry(value.clone()).or_default();
                    *known = match way {
                        Way::In => known.saturating_add(*count),
                        Way::Out => known.saturating_sub(*count),
                    };
                    if *known == 0 {
                        values.remove(value);
                    }
                });
            }
            (
                Accumulator::Sum(sum) | Accumulator::Mean(sum),
                Accumulator::Sum(other) | Accumulator::Mean(other),
            ) => sum.merge(other, sign),
            (Accumulator::List(list), Accumulator::List(other)) => list.merge(other, way),
            (own, Accumulator::Extreme { value: Some(value), .. }) => match way {
                Way::In => drop(own.add(value, usize::MAX)),
                Way::Out => own.remove(value),
            },
            _ => {}
        }
    }

    fn value(&self) -> Value {
        match self {
            Accumulator::Count(n) => Value::Int(*n),
            Accumulator::Distinct(values) => Value::Int(values.len() as i64),
            Accumulator::Sum(sum) => sum.total(),
            Accumulator::Mean(sum) => sum.mean(),
            Accumulator::Extreme { value, .. } => value.clone().unwrap_or_default(),
            Accumulator::Ordered { greatest, values } => {
                let end =
                    if *greatest { values.last_key_value() } else { values.first_key_value() };
                end.map_or(Value::Null, |(v, _)| v.clone())
            }
            Accumulator::List(list) => list.value(),
        }
    }
}

fn take_out(values: &mut BTreeMap<Value, u32>, value: &Value) {
    if let Some(count) = values.get_mut(value) {
        *count -= 1;
        if *count == 0 {
            values.remove(value);
        }
    }
}

impl Listed {
    fn add(&mut self, value: &Value) {
        let count = self.values.entry(value.clone()).or_default();
        *count = count.saturating_add(1);
        if self.mode == Mode::Growing && self.values.len() > LIST_MAX + 1 {
            self.values.pop_last();
        }
    }

    fn merge(&mut self, other: &Listed, way: Way) {
        for (value, count) in &other.values {
            let known = self.values.entry(value.clone()).or_default();
            *known = match way {
                Way::In => known.saturating_add(*count),
                Way::Out => known.saturating_sub(*count),
            };
            if *known == 0 {
                self.values.remove(value);
            }
        }
        while self.mode == Mode::Growing && self.values.len() > LIST_MAX + 1 {
            self.values.pop_last();
        }
    }

    /// NULL over no value.
    fn value(&self) -> Value {
        if self.values.is_empty() {
            return Value::Null;
        }
        let times = |count: u32| if self.distinct { 1 } else { count as usize };
        let mut all =
            self.values.iter().flat_map(|(v, count)| std::iter::repeat_n(v, times(*count)));
        let values = all.by_ref().take(LIST_MAX).cloned().collect();
        Value::List(Arc::new(ValueList { values, truncated: all.next().is_some() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_the_least_values_whatever_the_order() {
        let number = |n: i64| Value::Int(n % 150);
        for distinct in [false, true] {
            let list = |order: &mut dyn Iterator<Item = i64>, mode| {
                let mut list = Listed { distinct, mode, values: BTreeMap::new() };
                order.for_each(|n| list.add(&number(n)));
                list.value()
            };
            let up = list(&mut (0..300), Mode::Growing);
            assert_eq!(up, list(&mut (0..300).rev(), Mode::Growing));
            assert_eq!(up, list(&mut (0..300), Mode::Sliding));
            let Value::List(up) = up else { panic!("{up}") };
            assert!(up.truncated && up.values.len() == LIST_MAX);
            let last = if distinct { 99 } else { 49 };
            assert_eq!((&up.values[0], &up.values[99]), (&Value::Int(0), &Value::Int(last)));
            let part = |numbers: std::ops::Range<i64>| {
                let mut part = Listed { distinct, mode: Mode::Growing, values: BTreeMap::new() };
                numbers.for_each(|n| part.add(&number(n)));
                part
            };
            let mut merged = part(140..300);
            merged.merge(&part(0..140), Way::In);
            assert_eq!(merged.value(), list(&mut (0..300), Mode::Growing));
            let few = list(&mut (0..100), Mode::Growing);
            assert!(matches!(few, Value::List(few) if !few.truncated && few.values.len() == 100));
            assert_eq!(list(&mut std::iter::empty(), Mode::Growing), Value::Null);
        }
    }
}

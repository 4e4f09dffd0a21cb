//! A column of one batch as the network reads it: its distinct values, and which row has which.
//! Dictionaries are read through, plain text is made distinct where that pays, numbers are `i64`.

use std::hash::BuildHasher;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit},
};
use hashbrown::HashTable;
use sluice_event::Value;

use super::bits::{Bits, Pool};

/// What a type is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Text,
    Int,
    Time,
    Float,
    Bool,
    /// Lists, structs, binary: only NULL or not.
    Other,
}

impl Class {
    pub(super) fn of(data_type: &DataType) -> Class {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Class::Text,
            DataType::Dictionary(_, value) if value.is_string() => Class::Text,
            DataType::Boolean => Class::Bool,
            DataType::Timestamp(_, _) => Class::Time,
            t if t.is_integer() => Class::Int,
            t if t.is_floating() => Class::Float,
            _ => Class::Other,
        }
    }

    /// A number whose order and equality are those of the values of this class.
    pub(super) fn number(self, value: &Value) -> Option<i64> {
        match (self, value) {
            (Class::Int, Value::Int(v)) | (Class::Time, Value::Time(v)) => Some(*v),
            (Class::Bool, Value::Bool(v)) => Some(i64::from(*v)),
            (Class::Float, Value::Float(v)) => Some(float_number(*v)),
            (Class::Float, Value::Int(v)) => Some(float_number(*v as f64)),
            _ => None,
        }
    }
}

/// IEEE 754 total order as integer order, which is how arrow compares floats.
fn float_number(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// Values of a column; which rows have them is in [`View`].
#[derive(Debug)]
pub(super) enum Data {
    Text(StringArray),
    Numbers(Int64Array),
    Other,
}

/// The value index of a row that is NULL.
const NULL: u32 = u32::MAX;

/// A column of one batch.
#[derive(Debug)]
pub(super) struct View {
    pub(super) data: Data,
    /// Rows that are not NULL.
    pub(super) valid: Bits,
    pub(super) valid_count: usize,
    /// Per row the index of its value; `None`: row `r` has value `r`.
    keys: Option<Vec<u32>>,
    /// Rows sorted by value, and where each value's begin; built by `index_rows`.
    rows: Vec<u32>,
    starts: Vec<u32>,
}

/// Whether equal texts should be found and tested once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distinct {
    IfItPays,
    No,
}

impl View {
    pub(super) fn new(
        array: &ArrayRef,
        class: Class,
        distinct: Distinct,
        pool: &mut Pool,
        hasher: &foldhash::fast::RandomState,
    ) -> View {
        let rows = array.len();
        let mut valid = pool.empty(rows);
        match array.logical_nulls() {
            None => valid.fill(),
            Some(nulls) => valid.set_words(nulls.inner().bit_chunks().iter_padded()),
        }
        let valid_count = valid.count();
        let mut view = View {
            data: Data::Other,
            valid,
            valid_count,
            keys: None,
            rows: Vec::new(),
            starts: Vec::new(),
        };
        if valid_count == 0 {
            return view;
        }
        match class {
            Class::Text => view.read_text(array, distinct, hasher),
            Class::Int | Class::Bool => view.read_numbers(cast(array, &DataType::Int64).ok()),
            Class::Time => view.read_numbers(
                cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None))
                    .and_then(|a| cast(&a, &DataType::Int64))
                    .ok(),
            ),
            Class::Float => view.read_numbers(cast(array, &DataType::Float64).ok().and_then(|a| {
                let a = a.as_primitive_opt::<Float64Type>()?;
                let numbers: Int64Array = a.unary(float_number);
                Some(std::sync::Arc::new(numbers) as ArrayRef)
            })),
            Class::Other => {}
        }
        view
    }

    fn read_numbers(&mut self, array: Option<ArrayRef>) {
        if let Some(a) = array.as_ref().and_then(|a| a.as_primitive_opt::<Int64Type>()) {
            self.data = Data::Numbers(a.clone());
        }
    }

    fn read_text(
        &mut self,
        array: &ArrayRef,
        distinct: Distinct,
        hasher: &foldhash::fast::RandomState,
    ) {
        if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>()
            && let Some(values) = dictionary.values().as_string_opt::<i32>()
            // A slice of a large dictionary costs less read row by row.
            && values.len() <= 4 * array.len() + 64
        {
            let keys = dictionary.keys().values();
            let valid = &self.valid;
            self.keys = Some(
                keys.iter()
                    .enumerate()
                    .map(|(row, k)| if valid.get(row) { *k as u32 } else { NULL })
                    .collect(),
            );
            self.data = Data::Text(values.clone());
            return;
        }
        let plain = match array.data_type() {
            DataType::Utf8 => Some(ArrayRef::clone(array)),
            _ => cast(array, &DataType::Utf8).ok(),
        };
        let Some(text) = plain.as_ref().and_then(|a| a.as_string_opt::<i32>()) else { return };
        if distinct == Distinct::IfItPays {
            self.keys = distinct_keys(text, &self.valid, hasher);
        }
        self.data = Data::Text(text.clone());
    }

    /// The index of a row's value in `data`; `None` if NULL.
    pub(super) fn value(&self, row: usize) -> Option<usize> {
        match &self.keys {
            Some(keys) => Some(keys[row]).filter(|k| *k != NULL).map(|k| k as usize),
            None => self.valid.get(row).then_some(row),
        }
    }

    /// Makes [`View::rows`] possible.
    pub(super) fn index_rows(&mut self) {
        let Some(keys) = self.keys.as_ref().filter(|_| self.starts.is_empty()) else { return };
        let values = match &self.data {
            Data::Text(a) => a.len(),
            Data::Numbers(a) => a.len(),
            Data::Other => 0,
        };
        let mut starts = vec![0u32; values + 2];
        for key in keys.iter().filter(|k| **k != NULL) {
            starts[*key as usize + 2] += 1;
        }
        for i in 2..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut rows = vec![0u32; self.valid_count];
        for (row, key) in keys.iter().enumerate().filter(|(_, k)| **k != NULL) {
            let next = &mut starts[*key as usize + 1];
            rows[*next as usize] = row as u32;
            *next += 1;
        }
        starts.pop();
        (self.rows, self.starts) = (rows, starts);
    }

    /// How many rows have a value; after `index_rows`.
    pub(super) fn weight(&self, value: usize) -> usize {
        match self.keys {
            Some(_) => (self.starts[value + 1] - self.starts[value]) as usize,
            None => 1,
        }
    }

    /// Calls `f` with each row that has a value, ascending; after `index_rows`.
    pub(super) fn rows(&self, value: usize, mut f: impl FnMut(u32)) {
        match self.keys {
            Some(_) => {
                let range = self.starts[value] as usize..self.starts[value + 1] as usize;
                self.rows[range].iter().for_each(|r| f(*r));
            }
            None => f(value as u32),
        }
    }

    /// Calls `f` with the index of each value that some row has; after `index_rows`.
    pub(super) fn used(&self, mut f: impl FnMut(usize)) {
        match self.keys {
            Some(_) => (0..self.starts.len().saturating_sub(1))
                .filter(|v| self.starts[*v] < self.starts[*v + 1])
                .for_each(f),
            None => self.valid.iter().for_each(|r| f(r as usize)),
        }
    }
}

/// Per row the first row with the same text, unless most texts differ.
fn distinct_keys(
    text: &StringArray,
    valid: &Bits,
    hasher: &foldhash::fast::RandomState,
) -> Option<Vec<u32>> {
    const SAMPLE: usize = 256;
    let mut seen: HashTable<u32> = HashTable::with_capacity(text.len() / 2);
    let mut keys = vec![NULL; text.len()];
    for (done, row) in valid.iter().enumerate() {
        if done % SAMPLE == SAMPLE - 1 && seen.len() * 10 > done * 8 {
            return None;
        }
        let value = text.value(row as usize);
        let entry = seen.entry(
            hasher.hash_one(value),
            |other| text.value(*other as usize) == value,
            |other| hasher.hash_one(text.value(*other as usize)),
        );
        keys[row as usize] = *entry.or_insert(row).get();
    }
    Some(keys)
}

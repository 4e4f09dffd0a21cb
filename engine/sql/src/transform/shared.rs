//! Expressions over fields of few values, evaluated once per value. Not the others, which are evaluated on
//! every record.
//!
//! What a mapping decides by (the name of an event, its outcome, the type of its actor) has a handful of
//! values in a batch of hundreds of records, and the same ones in the next: a `CASE` of several `LIKE`s costs as
//! much as there are values that have not been met ([`Memo`]).

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    compute::{cast, take},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        expressions::{Column, Literal},
    },
};
use foldhash::fast::RandomState;

use super::memo::Memo;

/// Fields that an expression may combine: their values multiply.
const FIELDS_MAX: usize = 4;
/// A batch has few values of a field if each occurs this often on average, and if they are no more than
/// [`VALUES_MAX`], or if they are no more than [`VALUES_FEW`].
const REPEATS_MIN: usize = 4;
/// So many values are few in any batch: mostly they have been met.
const VALUES_FEW: usize = 8;
/// Pairs of two fields are looked up in a table of this squared at most, four bytes each.
const VALUES_MAX: usize = 256;

/// Those of the sources of a mapping that can be evaluated once per value.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The fields they read, as expressions over the record.
    fields: Vec<Arc<dyn PhysicalExpr>>,
    groups: Vec<Group>,
    /// Sources that are one of the fields: their numbers, and the places of those.
    plain: Vec<(usize, usize)>,
}

/// Sources over the same fields.
#[derive(Debug)]
struct Group {
    /// Places in [`Shared::fields`], ascending.
    fields: Vec<usize>,
    /// The fields alone, in that order.
    schema: SchemaRef,
    /// Per source: its number, and the expression over `schema`.
    sources: Vec<(usize, Arc<dyn PhysicalExpr>)>,
    /// What they came to in the batches before, for all workers.
    memo: Mutex<Memo>,
}

/// The values of a batch by number.
#[derive(Clone)]
struct Values {
    /// Per record: the number of its value.
    of: Vec<u32>,
    /// Per value: the first record that has it.
    first: Vec<u32>,
}

impl Shared {
    /// Sorts the sources, expressions over `record`, of which `evaluated` has the types that are wanted.
    pub(super) fn new(
        sources: &[Arc<dyn PhysicalExpr>],
        evaluated: &[Field],
        record: &Schema,
    ) -> Result<Shared> {
        let (mut shared, mut plain) = (Shared::default(), Vec::new());
        for (number, (source, wanted)) in sources.iter().zip(evaluated).enumerate() {
            let mut fields = Vec::new();
            if is_field(source) && source.data_type(record)? == *wanted.data_type() {
                plain.push((number, source));
                continue;
            }
            if !only_fields(source, record, &mut fields)? || fields.is_empty() {
                continue;
            }
            let mut places: Vec<usize> = fields.iter().map(|f| shared.field(f)).collect();
            places.sort_unstable();
            places.dedup();
            if places.len() <= FIELDS_MAX {
                shared.add(number, source, places, record)?;
            }
        }
        let place = |field: &Arc<dyn PhysicalExpr>| shared.fields.iter().position(|f| f == field);
        let plain = plain.into_iter().filter_map(|(number, field)| Some((number, place(field)?)));
        shared.plain = plain.collect();
        Ok(shared)
    }

    fn field(&mut self, field: &Arc<dyn PhysicalExpr>) -> usize {
        self.fields.iter().position(|known| known == field).unwrap_or_else(|| {
            self.fields.push(Arc::clone(field));
            self.fields.len() - 1
        })
    }

    fn add(
        &mut self,
        number: usize,
        source: &Arc<dyn PhysicalExpr>,
        places: Vec<usize>,
        record: &Schema,
    ) -> Result<()> {
        let fields: Vec<&Arc<dyn PhysicalExpr>> = places.iter().map(|p| &self.fields[*p]).collect();
        let over_fields = Arc::clone(source).transform_down(|part| {
            Ok(match fields.iter().position(|field| field.as_ref() == part.as_ref()) {
                Some(at) => {
                    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&name(at), at));
                    Transformed::new(column, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(part),
            })
        })?;
        let group = match self.groups.iter().position(|group| group.fields == places) {
            Some(at) => &mut self.groups[at],
            None => {
                let columns = fields
                    .iter()
                    .enumerate()
                    .map(|(at, field)| Ok(Field::new(name(at), field.data_type(record)?, true)));
                let schema = Arc::new(Schema::new(columns.collect::<Result<Vec<_>>>()?));
                let (sources, memo) = (Vec::new(), Mutex::default());
                self.groups.push(Group { fields: places, schema, sources, memo });
                let last = self.groups.len() - 1;
                &mut self.groups[last]
            }
        };
        group.sources.push((number, over_fields.data));
        Ok(())
    }

    /// Evaluates into `out`, in the types of `evaluated`, what has few values in this batch. A source on which
    /// that fails is left out: it fails, or not, where it is evaluated on every record.
    pub(super) fn evaluate(
        &self,
        batch: &RecordBatch,
        evaluated: &Schema,
        out: &mut [Option<ArrayRef>],
    ) {
        if batch.num_rows() == 0 {
            return;
        }
        let most = (batch.num_rows() / REPEATS_MIN).clamp(VALUES_FEW, VALUES_MAX);
        // Evaluated when a group needs it, and has few values of the fields before it.
        let mut fields: Vec<Option<(ArrayRef, Option<Values>)>> = vec![None; self.fields.len()];
        for group in &self.groups {
            let few = group.fields.iter().all(|at| {
                let field = &mut fields[*at];
                if field.is_none() {
                    let array = self.fields[*at].evaluate(batch);
                    let array = array.and_then(|value| value.into_array(batch.num_rows())).ok();
                    *field = array.map(|array| (Arc::clone(&array), Values::of(&array, most)));
                }
                matches!(field, Some((_, Some(_))))
            });
            if !few {
                continue;
            }
            let of = || group.fields.iter().filter_map(|at| fields[*at].as_ref());
            let mut parts = of().filter_map(|(_, values)| values.as_ref());
            let Some(first) = parts.next() else { continue };
            let Some(values) = parts.try_fold(first.clone(), |all, one| all.with(one, most)) else {
                continue;
            };
            let arrays: Vec<&ArrayRef> = of().map(|(array, _)| array).collect();
            group.evaluate(&arrays, &values, evaluated, out);
        }
        for (number, place) in &self.plain {
            out[*number] = fields[*place].as_ref().map(|(array, _)| Arc::clone(array));
        }
    }
}

impl Group {
    fn evaluate(
        &self,
        arrays: &[&ArrayRef],
        values: &Values,
        evaluated: &Schema,
        out: &mut [Option<ArrayRef>],
    ) {
        let one = |batch: &RecordBatch, (number, source): &(usize, Arc<dyn PhysicalExpr>)| {
            let kind = evaluated.field(*number).data_type();
            let array = source.evaluate(batch).ok()?.into_array(batch.num_rows()).ok()?;
            if array.data_type() == kind { Some(array) } else { cast(&array, kind).ok() }
        };
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = memo.rows(arrays, &values.first, |places| {
            let batch = self.batch(arrays, places)?;
            self.sources.iter().map(|source| one(&batch, source)).collect()
        });
        let results = memo.results().to_vec();
        drop(memo);
        if let Some(rows) = rows {
            let of: UInt32Array = values.of.iter().map(|value| rows[*value as usize]).collect();
            for ((number, _), result) in self.sources.iter().zip(&results) {
                out[*number] = take(result, &of, None).ok();
            }
            return;
        }
        // One that fails leaves the others.
        let Some(batch) = self.batch(arrays, &values.first.clone().into()) else { return };
        let of = UInt32Array::from(values.of.clone());
        for source in &self.sources {
            out[source.0] = one(&batch, source).and_then(|array| take(&array, &of, None).ok());
        }
    }

    /// The fields at these places.
    fn batch(&self, arrays: &[&ArrayRef], places: &UInt32Array) -> Option<RecordBatch> {
        let columns = arrays.iter().map(|array| take(array, places, None));
        RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>().ok()?).ok()
    }
}

impl Values {
    /// The values of an array; `None` if there are more than `most`, or of a type that is not told apart.
    fn of(array: &ArrayRef, most: usize) -> Option<Values> {
        match array.data_type() {
            DataType::Utf8 => Values::among(array.as_string::<i32>().iter(), most),
            DataType::Int64 => Values::among(array.as_primitive::<Int64Type>().iter(), most),
            DataType::Boolean => Values::among(array.as_boolean().iter(), most),
            _ => None,
        }
    }

    fn among<T: Copy + Eq + Hash>(
        cells: impl ExactSizeIterator<Item = Option<T>>,
        most: usize,
    ) -> Option<Values> {
        let mut known: HashMap<Option<T>, u32, RandomState> = HashMap::default();
        let mut values = Values { of: Vec::with_capacity(cells.len()), first: Vec::new() };
        let mut last: Option<(Option<T>, u32)> = None;
        for (row, value) in cells.enumerate() {
            // Records of one kind often come together.
            let number = match last {
                Some((before, number)) if before == value => number,
                _ => *known.entry(value).or_insert_with(|| {
                    values.first.push(row as u32);
                    values.first.len() as u32 - 1
                }),
            };
            if values.first.len() > most {
                return None;
            }
            last = Some((value, number));
            values.of.push(number);
        }
        Some(values)
    }

    /// The pairs of values of two fields.
    fn with(&self, other: &Values, most: usize) -> Option<Values> {
        const NONE: u32 = u32::MAX;
        let mut known = vec![NONE; self.first.len().checked_mul(other.first.len())?];
        let mut pairs = Values { of: Vec::with_capacity(self.of.len()), first: Vec::new() };
        for (row, (a, b)) in self.of.iter().zip(&other.of).enumerate() {
            let number = known.get_mut(*a as usize * other.first.len() + *b as usize)?;
            if *number == NONE {
                *number = pairs.first.len() as u32;
                pairs.first.push(row as u32);
            }
            pairs.of.push(*number);
        }
        (pairs.first.len() <= most).then_some(pairs)
    }
}

/// The name of the field at a place of a group.
fn name(at: usize) -> String {
    format!("f{at}")
}

/// Whether an expression is a column of the record or a field of one, of an object or of JSON text.
fn is_field(expr: &Arc<dyn PhysicalExpr>) -> bool {
    if expr.downcast_ref::<Column>().is_some() {
        return true;
    }
    let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() else { return false };
    let [object, keys @ ..] = call.args() else { return false };
    matches!(call.name(), "get_field" | "json_get_str")
        && is_field(object)
        && keys.iter().all(|key| key.downcast_ref::<Literal>().is_some())
}

/// Whether an expression reads nothing but fields whose values can be told apart; adds those to `fields`.
fn only_fields(
    expr: &Arc<dyn PhysicalExpr>,
    record: &Schema,
    fields: &mut Vec<Arc<dyn PhysicalExpr>>,
) -> Result<bool> {
    if is_field(expr) {
        let kind = expr.data_type(record)?;
        fields.push(Arc::clone(expr));
        return Ok(matches!(kind, DataType::Utf8 | DataType::Int64 | DataType::Boolean));
    }
    let children = expr.children();
    if expr.is_volatile_node() || (children.is_empty() && expr.downcast_ref::<Literal>().is_none())
    {
        return Ok(false);
    }
    for child in children {
        if !only_fields(child, record, fields)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use sluice_event::Schema as Vocabulary;

    use super::*;
    use crate::transform::{compile::compile, evaluate_columns};

    #[test]
    fn sources_over_few_values_are_evaluated_once_per_value() {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let wire =
            Arc::new(Schema::new(vec![text("kind"), text("outcome"), text("name"), text("data")]));
        let sql = "SELECT CASE WHEN kind LIKE 'a%' THEN 'Logon' END AS activity, kind AS event_code, \
                          CASE WHEN outcome = '1' THEN kind END AS status_detail, \
                          nullif(name, 'x') AS user_name, name AS user_uid, \
                          concat(kind, outcome, name) AS message, \
                          concat(kind, json_get_str(data, 'a')) AS session_uid FROM t";
        let table = Vocabulary::builtin().table("authentication").unwrap();
        let transform = compile(table, "t", &wire, None, sql).unwrap();
        let shared = &transform.shared;
        let of = |fields: &[&str]| -> Vec<String> {
            let group = |group: &&Group| {
                let names = group.fields.iter().map(|at| shared.fields[*at].to_string());
                names.zip(fields).all(|(a, b)| a.starts_with(b))
                    && group.fields.len() == fields.len()
            };
            let sources = shared.groups.iter().find(group).map(|group| &group.sources);
            sources.into_iter().flatten().map(|(_, source)| source.to_string()).collect()
        };
        assert_eq!(of(&["kind"]).len(), 2);
        assert_eq!(of(&["kind", "outcome"]).len(), 1);
        // A field as it is gains nothing.
        assert_eq!(of(&["name"]).len(), 1);
        assert_eq!(of(&["kind", "outcome", "name"]).len(), 1);
        assert_eq!(of(&["kind", "json_get_str"]).len(), 1);
        assert_eq!(shared.groups.iter().map(|group| group.sources.len()).sum::<usize>(), 6);

        let records = 64;
        let column = |values: usize| -> ArrayRef {
            let texts = (0..records).map(|at| Some((at % values).to_string()));
            Arc::new(texts.collect::<StringArray>())
        };
        let batch =
            RecordBatch::try_new(wire, vec![column(3), column(2), column(records), column(5)])
                .unwrap();
        let mut out = vec![None; transform.sources.len()];
        shared.evaluate(&batch, &transform.evaluated, &mut out);
        // All but those of `name`, which has a value per record; and `kind` itself.
        assert_eq!(out.iter().flatten().count(), 5);
        let known = out;
        // A few records more have values that were met, and one that was not.
        let mut columns = batch.columns().to_vec();
        columns[0] = Arc::new(StringArray::from(vec![Some("1"), Some("new"), None, Some("2")]));
        columns[1..].iter_mut().for_each(|column| *column = column.slice(0, 4));
        let few = RecordBatch::try_new(batch.schema(), columns).unwrap();
        for batch in [&few, &batch.slice(1, 9), &few] {
            let mut out = vec![None; transform.sources.len()];
            shared.evaluate(batch, &transform.evaluated, &mut out);
            let all = evaluate_columns(&transform.sources, &transform.evaluated, batch).unwrap();
            let shared = out.iter().zip(all.columns()).filter_map(|(a, b)| Some((a.as_ref()?, b)));
            let text = |array: &ArrayRef| cast(array, &DataType::Utf8).unwrap();
            assert!(shared.clone().count() >= known.iter().flatten().count());
            shared.for_each(|(a, b)| assert_eq!(&text(a), &text(b)));
        }
    }

    #[test]
    fn a_long_value_is_not_kept() {
        let wire = Arc::new(Schema::new(vec![Field::new("kind", DataType::Utf8, true)]));
        let table = Vocabulary::builtin().table("authentication").unwrap();
        let sql = "SELECT concat(kind, '!') AS user_name FROM t";
        let transform = compile(table, "t", &wire, None, sql).unwrap();
        for (length, kept) in [(1_000, 1), (2_000, 1)] {
            let array: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(length); 9]));
            let batch = RecordBatch::try_new(wire.clone(), vec![array]).unwrap();
            let mut out = [None];
            transform.shared.evaluate(&batch, &transform.evaluated, &mut out);
            let out = out[0].as_ref().unwrap().as_string::<i32>();
            assert_eq!((out.len(), out.value(8).len()), (9, length + 1));
            let memo = transform.shared.groups[0].memo.lock().unwrap();
            assert_eq!(memo.results()[0].len(), kept);
        }
    }

    #[test]
    fn more_values_than_are_kept_are_learned_anew() {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let wire = Arc::new(Schema::new(vec![text("kind")]));
        let sql = "SELECT concat(kind, '!') AS user_name, \
                          CASE WHEN kind LIKE '_' THEN 'Logon' END AS activity FROM t";
        let table = Vocabulary::builtin().table("authentication").unwrap();
        let transform = compile(table, "t", &wire, None, sql).unwrap();
        for from in (0..1_000).step_by(100) {
            let texts = (0..1_000).map(|at| Some((from + at % 150).to_string()));
            let array: ArrayRef = Arc::new(texts.collect::<StringArray>());
            let batch = RecordBatch::try_new(wire.clone(), vec![array]).unwrap();
            let mut out = vec![None; transform.sources.len()];
            transform.shared.evaluate(&batch, &transform.evaluated, &mut out);
            let all = evaluate_columns(&transform.sources, &transform.evaluated, &batch).unwrap();
            let text = |array: &ArrayRef| cast(array, &DataType::Utf8).unwrap();
            for (shared, plain) in out.iter().zip(all.columns()) {
                assert_eq!(&text(shared.as_ref().unwrap()), &text(plain));
            }
        }
    }
}

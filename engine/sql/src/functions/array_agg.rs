//! `array_agg`: the values of a group as a list, in the order of the values, at most [`LIST_MAX`] of
//! them. Takes the place of DataFusion's, whose order is that of arrival, which a stream does not
//! have, and whose lists have no bound.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
};
use sluice_event::{Value, ValueList};
use sluice_stream::LIST_MAX;

use crate::types::{is_scalar, is_text};

pub(super) fn array_agg() -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(ArrayAgg { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayAgg {
    signature: Signature,
}

impl AggregateUDFImpl for ArrayAgg {
    fn name(&self) -> &str {
        "array_agg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Null] => Ok(vec![DataType::Utf8]),
            [one] if is_scalar(one) => Ok(vec![one.clone()]),
            _ => plan_err!("array_agg takes one text, number, time or boolean"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let item = match types {
            [one] if is_text(one) => DataType::Utf8,
            [one] => one.clone(),
            _ => return plan_err!("array_agg takes one argument"),
        };
        Ok(DataType::new_list(item, true))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Listed::new(&args, false)?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Listed::new(&args, true)?))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "values");
        Ok(vec![Arc::new(Field::new(name, args.return_field.data_type().clone(), true))])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The values so far and how often each came.
#[derive(Debug)]
struct Listed {
    distinct: bool,
    /// Whether values leave again: then all are kept, else those that the list can show.
    slides: bool,
    data_type: DataType,
    values: BTreeMap<Value, u32>,
    bytes: usize,
}

impl Listed {
    fn new(args: &AccumulatorArgs<'_>, slides: bool) -> Result<Listed> {
        if !args.order_bys.is_empty() {
            return plan_err!("array_agg lists its values in their own order, without ORDER BY");
        }
        let data_type = args.return_type().clone();
        Ok(Listed {
            distinct: args.is_distinct,
            slides,
            data_type,
            values: BTreeMap::new(),
            bytes: 0,
        })
    }

    fn add(&mut self, array: &ArrayRef) {
        for value in Value::column(array).unwrap_or_default() {
            if value.is_null() {
                continue;
            }
            let size = size_of_value(&value);
            let count = self.values.entry(value).or_insert_with(|| {
                self.bytes += size;
                0
            });
            *count = count.saturating_add(1);
            if !self.slides
                && self.values.len() > LIST_MAX + 1
                && let Some((last, _)) = self.values.pop_last()
            {
                self.bytes -= size_of_value(&last);
            }
        }
    }

    /// At most `most` values as one list.
    fn list(&self, most: usize) -> Result<ScalarValue> {
        let times = |count: u32| if self.distinct { 1 } else { count as usize };
        let all = self.values.iter().flat_map(|(v, n)| std::iter::repeat_n(v, times(*n)));
        let values: Vec<Value> = all.take(most).cloned().collect();
        let list = if values.is_empty() {
            Value::Null
        } else {
            Value::List(Arc::new(ValueList { values, truncated: false }))
        };
        ScalarValue::try_from_array(&Value::to_array(&[list], &self.data_type), 0)
    }
}

fn size_of_value(value: &Value) -> usize {
    64 + value.as_text().map_or(0, str::len)
}

impl Accumulator for Listed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let Some(array) = values.first() {
            self.add(array);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values.first().and_then(Value::column).unwrap_or_default() {
            let Some(count) = self.values.get_mut(&value) else { continue };
            *count -= 1;
            if *count == 0 {
                self.values.remove(&value);
                self.bytes -= size_of_value(&value);
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.slides
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.list(LIST_MAX)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.list(usize::MAX)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first().and_then(|s| s.as_list_opt::<i32>()) else {
            return Ok(());
        };
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            self.add(&lists.value(row));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes
    }
}

//! Long texts that operators of one shard hold, each once: the same are arguments of many rows of many
//! rules. Short ones are in the values themselves.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;
use sluice_event::{SmolStr, Value, ValueList};

use crate::cells::Cell;

/// See the module. A text nobody holds goes with the next sweep, which comes when there are twice as
/// many as after the last one.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    texts: HashSet<Arc<str>, RandomState>,
    sweep_at: usize,
}

const LEAST: usize = 4_096;
/// Bytes of a text that a value has in place.
const SHORT: usize = 23;

impl Texts {
    pub(crate) fn value(&mut self, cell: Cell<'_>) -> Value {
        match cell {
            Cell::Text(text) => Value::Text(self.intern(text)),
            Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) | Cell::Time(_) => {
                cell.value()
            }
        }
    }

    /// A value read back, its texts shared.
    pub(crate) fn held(&mut self, value: Value) -> Value {
        match value {
            Value::Text(text) => Value::Text(self.intern(&text)),
            Value::List(list) => {
                let values = list.values.iter().map(|v| self.held(v.clone())).collect();
                Value::List(Arc::new(ValueList { values, truncated: list.truncated }))
            }
            scalar @ (Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Time(_)) => scalar,
        }
    }

    fn intern(&mut self, text: &str) -> SmolStr {
        if text.len() <= SHORT {
            return SmolStr::new(text);
        }
        if let Some(known) = self.texts.get(text) {
            return known.clone().into();
        }
        if self.texts.len() >= self.sweep_at.max(LEAST) {
            self.texts.retain(|t| Arc::strong_count(t) > 1);
            self.sweep_at = 2 * self.texts.len();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_take_no_memory_and_long_ones_are_held_once() {
        let mut texts = Texts::default();
        let (short, long) = ("s".repeat(SHORT), "l".repeat(SHORT + 1));
        assert!(!texts.intern(&short).is_heap_allocated());
        let (one, other) = (texts.intern(&long), texts.intern(&long));
        assert!(one.is_heap_allocated() && one == *long);
        assert_eq!((one.as_ptr(), texts.texts.len()), (other.as_ptr(), 1));
    }
}

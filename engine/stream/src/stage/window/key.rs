//! The keys of a window's groups and findings, as bytes. Stored state and ids of findings depend on them.

use std::sync::Arc;

use sluice_event::{Encoder, Value};

use super::{GroupColumn, Window, WindowPlan};

/// The row key of a window's finding: the key values in order of the group keys' names, then kind,
/// size and start of the window. `key` is [`encode_key`] of the key values;
/// `start` is the cell's start for a sliding window.
pub fn window_row_key(key: &[u8], window: Window, start: i64) -> Vec<u8> {
    let (kind, size) = match window {
        Window::Tumble { size } => ("tumble", size),
        Window::Hop { size, .. } => ("hop", size),
        Window::Session { gap } => ("session", gap),
        Window::Sliding { size } => ("sliding", size),
    };
    let mut encoder = Encoder::default();
    encoder.text(kind);
    encoder.int(size);
    encoder.time(start);
    [key, encoder.as_bytes()].concat()
}

/// The encoded group key: its values in order of the names of the key columns.
pub fn encode_key(plan: &WindowPlan, keys: &[Value]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for index in key_order(plan) {
        encoder.value(keys.get(index).unwrap_or(&Value::Null));
    }
    encoder.into_bytes()
}

/// The numbers of the keys in order of the names of the key columns.
pub(crate) fn key_order(plan: &WindowPlan) -> Vec<usize> {
    let mut named: Vec<(&str, usize)> = plan
        .layout
        .iter()
        .zip(plan.group.fields())
        .filter_map(|(column, field)| match column {
            GroupColumn::Key(n) => Some((field.name().as_str(), *n)),
            GroupColumn::Window | GroupColumn::Aggregate(_) => None,
        })
        .collect();
    named.sort_by_key(|(name, _)| *name);
    named.into_iter().map(|(_, n)| n).collect()
}

/// The names of the keys, in that order.
pub(super) fn key_names(plan: &WindowPlan) -> Vec<Arc<str>> {
    let name = |n: usize| {
        let at = plan.layout.iter().position(|c| *c == GroupColumn::Key(n));
        at.and_then(|at| plan.group.fields().get(at)).map_or("", |f| f.name()).into()
    };
    key_order(plan).into_iter().map(name).collect()
}

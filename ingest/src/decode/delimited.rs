//! Lines of fields with one delimiter: VPC flow logs, CSV. Not key=value.

use std::collections::HashMap;

use sluice_event::{PartitionId, WireSchema};

use super::{Failure, Outcome, column::Column};
use crate::DeadLetterCode;

/// Which column each field of a line goes to.
pub(crate) type Order = Vec<Option<usize>>;

/// The layout of the lines of a source.
#[derive(Debug)]
pub(crate) struct Delimited {
    delimiter: char,
    null: Option<String>,
    header: Option<String>,
    order: Order,
    /// Field and column names, normalised: a line of only such names is a header.
    columns: HashMap<String, Option<usize>>,
}

impl Delimited {
    pub(crate) fn new(
        delimiter: char,
        fields: &[String],
        null: &Option<String>,
        header: &Option<String>,
        wire: &WireSchema,
    ) -> Self {
        let mut columns: HashMap<String, Option<usize>> =
            fields.iter().map(|f| (normalise(f), None)).collect();
        for (i, (name, _)) in wire.columns.iter().enumerate() {
            columns.insert(normalise(name), Some(i));
        }
        let order = fields.iter().map(|f| columns.get(&normalise(f)).copied().flatten()).collect();
        Delimited { delimiter, null: null.clone(), header: header.clone(), order, columns }
    }

    /// Appends one line at `row`. A header line sets the order of fields for its partition.
    pub(crate) fn record(
        &self,
        text: &str,
        orders: &mut HashMap<PartitionId, Order>,
        partition: PartitionId,
        columns: &mut [Column],
        row: usize,
        reference: i64,
    ) -> Result<Outcome, Failure> {
        if text.starts_with('#') {
            return Ok(Outcome::Skip);
        }
        if let Some(order) = self.header(text) {
            orders.insert(partition, order);
            return Ok(Outcome::Skip);
        }
        let order = orders.get(&partition).unwrap_or(&self.order);
        let fields = || Fields { rest: Some(text), delimiter: self.delimiter };
        let found = fields().count();
        if found != order.len() {
            let message = format!("{found} fields, {} expected", order.len());
            return Err(Failure::new(DeadLetterCode::BadFraming, message));
        }
        for (field, column) in fields().zip(order) {
            let Some(column) = column.and_then(|c| columns.get_mut(c)) else { continue };
            let null = self.null.as_deref() == Some(field.text) || field.text.is_empty();
            if column.len() > row || null {
                continue;
            }
            column.pad(row);
            if field.quoted && field.text.contains("\"\"") {
                column.push_text(&field.text.replace("\"\"", "\""), reference);
            } else {
                column.push_text(field.text, reference);
            }
        }
        Ok(Outcome::Row)
    }

    /// Whether a line names at least two fields and nothing else; then its order.
    pub(crate) fn header(&self, text: &str) -> Option<Order> {
        let names = Fields { rest: Some(text), delimiter: self.delimiter };
        if self.header.as_ref().is_some_and(|h| text.starts_with(h.as_str())) {
            let known = |f: Field<'_>| self.columns.get(&normalise(f.text)).copied().flatten();
            return Some(names.map(known).collect());
        }
        // Data has digits early; a header nearly never does. Spares the lookups.
        if text.bytes().next().is_none_or(|b| b.is_ascii_digit()) {
            return None;
        }
        let order: Option<Order> =
            names.map(|f| self.columns.get(&normalise(f.text)).copied()).collect();
        order.filter(|o| o.len() > 1)
    }
}

/// `account-id` in the header of a file, `account_id` in SQL.
fn normalise(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('-', "_")
}

struct Fields<'t> {
    rest: Option<&'t str>,
    delimiter: char,
}

struct Field<'t> {
    text: &'t str,
    quoted: bool,
}

impl<'t> Iterator for Fields<'t> {
    type Item = Field<'t>;

    fn next(&mut self) -> Option<Field<'t>> {
        let rest = self.rest?;
        if let Some(inner) = rest.strip_prefix('"')
            && let Some((text, rest)) = self.quoted(inner)
        {
            self.rest = rest;
            return Some(Field { text, quoted: true });
        }
        match rest.split_once(self.delimiter) {
            Some((text, rest)) => {
                self.rest = Some(rest);
                Some(Field { text, quoted: false })
            }
            None => {
                self.rest = None;
                Some(Field { text: rest, quoted: false })
            }
        }
    }
}

impl<'t> Fields<'t> {
    /// The field whose opening quote is gone, and what follows; a doubled quote is part of it.
    /// `None` if the quote never closes before a delimiter: then it was no quote.
    fn quoted(&self, inner: &'t str) -> Option<(&'t str, Option<&'t str>)> {
        let mut from = 0;
        loop {
            let at = from + inner.get(from..)?.find('"')?;
            let after = inner.get(at + 1..)?;
            if after.starts_with('"') {
                from = at + 2;
                continue;
            }
            let text = inner.get(..at)?;
            return match after.strip_prefix(self.delimiter) {
                Some(rest) => Some((text, Some(rest))),
                None => after.is_empty().then_some((text, None)),
            };
        }
    }
}

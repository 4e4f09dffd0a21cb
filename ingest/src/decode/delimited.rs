//! Lines of fields with one delimiter: VPC flow logs, CSV; and the same records as JSON objects. Not
//! key=value.

use std::collections::{BTreeMap, HashMap};

use sluice_event::WireSchema;

use super::{
    Failure, Outcome, RecordContext,
    codec::{Decode, Form, Record},
    column::Column,
    text_record,
};
use crate::{
    Codec, DeadLetterCode, DelimitedCodec, Framing, InputOptions, Limits, SourceSpec,
    detect::ask::{Line, Question},
};

impl Form for DelimitedCodec {
    fn framing(&self, _: &SourceSpec) -> Framing {
        let names = self.fields.iter().chain(self.layouts.iter().flatten());
        let mut names: Vec<String> = names.chain(&self.known).cloned().collect();
        names.sort_unstable();
        names.dedup();
        Framing::Fields(names)
    }

    fn heeds(&self, setting: &str) -> bool {
        setting == "fields"
    }

    fn for_input(&self, options: &InputOptions) -> Codec {
        let fields = options.fields.as_ref().unwrap_or(&self.fields).clone();
        Codec::Delimited(DelimitedCodec { fields, ..self.clone() })
    }

    fn is_told_by_decoding(&self, _: &SourceSpec) -> bool {
        true
    }

    fn fits(&self, question: &mut Question<'_>) -> bool {
        if question.json {
            return question.is_keyed() && question.has_keys();
        }
        match question.spec.detect_line.is_some() {
            // A header line looks like its source whatever the pattern says.
            true => question.line() || question.decodes() == Some(Line::Header),
            false => question.decodes().is_some(),
        }
    }

    fn reads(&self, question: &mut Question<'_>) -> bool {
        question.decodes().is_some()
    }

    fn has_headers(&self) -> bool {
        true
    }

    fn decoder(&self, wire: &WireSchema, _: Limits) -> Box<dyn Decode> {
        Box::new(Delimited::new(self, wire))
    }
}

/// What the fields of a line are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    delimiter: char,
    fields: Vec<Target>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Column(usize),
    /// A field that no mapping reads.
    Other(String),
}

/// The layout of the lines of a source.
#[derive(Debug)]
pub(crate) struct Delimited {
    delimiter: char,
    null: Option<String>,
    header: Option<String>,
    order: Order,
    /// Further orders of lines without a header, told by their number of fields.
    layouts: Vec<Order>,
    /// Columns by normalised name; `None` for names that are known and not read.
    columns: HashMap<String, Option<usize>>,
    /// The order of each partition that had a header line.
    orders: HashMap<sluice_event::PartitionId, Order>,
}

/// Fields that no mapping reads, by name.
pub(crate) type Others = BTreeMap<String, String>;

impl Decode for Delimited {
    /// Forgets the header of a partition.
    fn end_message(&mut self, partition: sluice_event::PartitionId) {
        self.orders.remove(&partition);
    }

    fn decode(&mut self, record: Record<'_>) -> Result<Outcome, Failure> {
        let Record { bytes, json, keyed, surroundings, context, row, columns, tally, run, .. } =
            record;
        if json && !keyed {
            return Err(Failure::not_a_line());
        }
        let mut others = BTreeMap::new();
        let outcome = text_record(bytes, tally, |text| {
            surroundings.refuse_wrapped(text)?;
            self.record(text, columns, row, context, &mut others)
        });
        if outcome.is_err() {
            columns.iter_mut().for_each(|c| c.truncate(row));
        }
        if !others.is_empty() {
            run.others.insert(row as u32, others);
        }
        outcome
    }
}

impl Delimited {
    pub(crate) fn new(codec: &DelimitedCodec, wire: &WireSchema) -> Self {
        let mut columns: HashMap<String, Option<usize>> = {
            let names = codec.fields.iter().chain(codec.layouts.iter().flatten());
            names.chain(&codec.known).map(|f| (normalise(f), None)).collect()
        };
        for (i, (name, _)) in wire.columns.iter().enumerate() {
            columns.insert(normalise(name), Some(i));
        }
        let mut layout = Delimited {
            delimiter: codec.delimiter,
            null: codec.null.clone(),
            header: codec.header.clone(),
            order: Order { delimiter: codec.delimiter, fields: Vec::new() },
            layouts: Vec::new(),
            columns,
            orders: HashMap::new(),
        };
        let order = |fields: &[String]| Order {
            delimiter: codec.delimiter,
            fields: fields.iter().map(|f| layout.target(f)).collect(),
        };
        let (own, others) =
            (order(&codec.fields), codec.layouts.iter().map(|l| order(l)).collect());
        (layout.order, layout.layouts) = (own, others);
        layout
    }

    /// Appends one line at `row`. A header line sets the order of fields for its partition.
    pub(crate) fn record(
        &mut self,
        text: &str,
        columns: &mut [Column],
        row: usize,
        context: &RecordContext,
        others: &mut Others,
    ) -> Result<Outcome, Failure> {
        // Of a file that another was appended to.
        let text = text.trim_start_matches('\u{feff}');
        let text = if self.delimiter == ' ' { text.trim_end_matches(' ') } else { text };
        if text.starts_with('#') {
            return Ok(Outcome::Skip);
        }
        if text.starts_with('{') {
            return self.object(text, columns, row, context, others);
        }
        if let Some(order) = self.header(text) {
            self.orders.insert(context.partition, order);
            return Ok(Outcome::Skip);
        }
        let order = self.orders.get(&context.partition).unwrap_or(&self.order);
        let mut delimiter = order.delimiter;
        let fields = |delimiter| Fields { rest: Some(text), delimiter };
        let mut found = fields(delimiter).count();
        if found == 1 && order.fields.len() > 1 {
            // The same record as CSV.
            delimiter = if text.contains('\t') { '\t' } else { ',' };
            found = fields(delimiter).count();
        }
        let order = match self.orders.contains_key(&context.partition) {
            true => order,
            false => self.layouts.iter().find(|l| l.fields.len() == found).unwrap_or(order),
        };
        if found != order.fields.len() {
            let hint = match self.orders.contains_key(&context.partition) {
                true => "the header line names others",
                false => "without a header line, `fields` of the input names them",
            };
            let message = format!("{found} fields, {} expected; {hint}", order.fields.len());
            return Err(Failure::new(DeadLetterCode::BadFraming, message));
        }
        for (field, target) in fields(delimiter).zip(&order.fields) {
            if self.null.as_deref() == Some(field.text) || field.text.is_empty() {
                continue;
            }
            let doubled = field.quoted && field.text.contains("\"\"");
            let unquoted = if doubled { field.text.replace("\"\"", "\"") } else { String::new() };
            let value = if doubled { unquoted.as_str() } else { field.text };
            put(target, value, columns, row, context, others);
        }
        Ok(Outcome::Row)
    }

    /// Whether a line names fields and nothing else, most of them known; then their order.
    pub(crate) fn header(&self, text: &str) -> Option<Order> {
        // Data has digits early; a header never does. Spares the lookups.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.bytes().next().is_none_or(|b| !b.is_ascii_alphabetic() && !matches!(b, b'"' | b'$'))
        {
            return None;
        }
        let declared = self.header.as_ref().is_some_and(|h| text.starts_with(h.as_str()));
        [self.delimiter, ',', '\t', ' '].into_iter().find_map(|delimiter| {
            let names = || Fields { rest: Some(text), delimiter }.map(|f| f.text.trim());
            if !declared && !names().all(is_name) {
                return None;
            }
            let all = names().count();
            let known = names().filter(|n| self.columns.contains_key(&normalise(n))).count();
            (declared || known >= 2 && known * 2 >= all)
                .then(|| Order { delimiter, fields: names().map(|n| self.target(n)).collect() })
        })
    }

    fn target(&self, name: &str) -> Target {
        match self.columns.get(&normalise(name)).copied().flatten() {
            Some(column) => Target::Column(column),
            None => Target::Other(normalise(name)),
        }
    }

    /// The same record as a JSON object.
    fn object(
        &self,
        text: &str,
        columns: &mut [Column],
        row: usize,
        context: &RecordContext,
        others: &mut Others,
    ) -> Result<Outcome, Failure> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
            .map_err(|e| Failure::new(DeadLetterCode::BadJson, e.to_string()))?;
        let known = object.keys().filter(|n| self.columns.contains_key(&normalise(n))).count();
        if known < 2 || known * 2 < object.len() {
            let message = format!("a JSON object with {known} of the fields of this source");
            return Err(Failure::new(DeadLetterCode::NotThisSource, message));
        }
        for (name, value) in &object {
            let value = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            if !value.is_empty() && self.null.as_deref() != Some(value.as_str()) {
                put(&self.target(name), &value, columns, row, context, others);
            }
        }
        Ok(Outcome::Row)
    }
}

fn put(
    target: &Target,
    value: &str,
    columns: &mut [Column],
    row: usize,
    context: &RecordContext,
    others: &mut Others,
) {
    match target {
        Target::Column(column) => {
            if let Some(column) = columns.get_mut(*column)
                && column.len() <= row
            {
                column.pad(row);
                column.push_text(value, context.reference);
            }
        }
        Target::Other(name) => {
            others.insert(name.clone(), value.to_owned());
        }
    }
}

/// `account-id` in the header of a file, `${account-id}` where the format is configured,
/// `account_id` in SQL.
fn normalise(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_prefix("${").and_then(|n| n.strip_suffix('}')).unwrap_or(name);
    name.to_ascii_lowercase().replace('-', "_")
}

/// Whether a field can be the name of one.
fn is_name(text: &str) -> bool {
    let text = text.strip_prefix("${").and_then(|n| n.strip_suffix('}')).unwrap_or(text);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
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

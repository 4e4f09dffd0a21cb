//! What the engine adds to every mapped row: where it came from, OCSF ids, canonical addresses and
//! host names, entities, any-lists. Not `event_uid`, which is computed for rows that survive
//! ([`crate::EventBatch::uid`]).
//!
//! It runs on every event, so it works on columns: one that is all NULL is left alone, one that
//! needs no change is shared, dictionaries are read per distinct value.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{
        Array, ArrayBuilder, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array,
        ListArray, StringArray, StringBuilder, TimestampMillisecondArray,
    },
    buffer::OffsetBuffer,
    compute::{cast, filter},
    datatypes::{DataType, Field, Int32Type, TimestampMillisecondType},
    record_batch::RecordBatch,
};

use crate::{
    Aliases, Names, TableSchema, canonical_ip,
    defect::{OrDefect, defect},
    entity::{ACTOR_USER, DEVICE, USER, entity, lower},
    ip::is_ip,
    is_private_ip,
    schema::{Column, ColumnType},
};

/// What [`fill`] knows about rows beside their columns.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// The mapping source, `okta.system`.
    pub source: &'a str,
    /// Who makes the product, from the mapping.
    pub vendor: Option<&'a str>,
    /// The product, from the mapping.
    pub product: Option<&'a str>,
    /// The tenant of the input.
    pub tenant: &'a str,
    /// When each row's record was received, milliseconds since 1970 UTC; the last one stands for
    /// all further rows.
    pub ingest_time: &'a [i64],
    /// The class the mapping names; the table's first one if none.
    pub class_uid: Option<i32>,
    /// Other names of users and devices.
    pub aliases: Option<&'a Aliases>,
}

const IPS: &[&str] = &["src_ip", "dst_ip"];
const HOSTS: &[&str] = &["src_hostname", "dst_hostname", "device_hostname"];
const DOMAINS: &[&str] = &["query", "url_host", "tls_sni"];
const HASHES: &[&str] = &["process_hash_sha256", "file_hash_sha256"];
const USERS: &[&str] = &["user_name", "user_email", "actor_user_name"];

/// Completes mapped rows, which are in the full schema of `table`. A value the mapping set is kept,
/// but addresses, host names and entities take their canonical form.
pub fn fill(rows: RecordBatch, table: &TableSchema, context: &Fill<'_>) -> RecordBatch {
    if rows.num_rows() == 0 {
        return rows;
    }
    if rows.num_columns() != table.columns.len() {
        let detail = format!("{} columns for table {}", rows.num_columns(), table.name);
        defect("event.fill", detail);
        return rows;
    }
    let mut filler = Filler { table, columns: rows.columns().to_vec(), rows: rows.num_rows() };
    filler.keyword("source", Some(context.source));
    filler.keyword("vendor", context.vendor);
    filler.keyword("product", context.product);
    filler.keyword("tenant", Some(context.tenant));
    filler.ingest_time(context.ingest_time);
    let class = context.class_uid.or_else(|| table.classes.first().map(|(id, _)| *id));
    filler.class(class);
    filler.ids("activity", "activity_id");
    filler.ids("status", "status_id");
    for name in IPS {
        filler.rewrite(name, |v| canonical_ip(v).unwrap_or(Cow::Borrowed(v)));
    }
    filler.addresses("src_ips");
    for name in HOSTS.iter().chain(DOMAINS) {
        filler.rewrite(name, host);
    }
    for name in HASHES {
        filler.rewrite(name, lower);
    }
    filler.is_private("src_ip", "src_is_private");
    let (users, devices) = (context.aliases.map(|a| &a.users), context.aliases.map(|a| &a.devices));
    filler.entity("user_entity", USER, users);
    filler.entity("actor_user_entity", ACTOR_USER, users);
    filler.entity("device_entity", DEVICE, devices);
    filler.list("ips", IPS, &["src_ips", "x_forwarded_for"], is_ip);
    filler.list("users", USERS, &[], |_| true);
    filler.list("hosts", HOSTS, &[], |_| true);
    filler.list("domains", DOMAINS, &[], |_| true);
    filler.list("hashes", HASHES, &[], |_| true);
    filler.empty_lists();
    RecordBatch::try_new(Arc::clone(&table.arrow), filler.columns)
        .or_defect("event.fill")
        .unwrap_or(rows)
}

/// A host name: lower case, without the final dot.
fn host(text: &str) -> Cow<'_, str> {
    match text.strip_suffix('.') {
        Some(rest) if !rest.is_empty() => lower(rest),
        _ => lower(text),
    }
}

struct Filler<'a> {
    table: &'a TableSchema,
    columns: Vec<ArrayRef>,
    rows: usize,
}

impl Filler<'_> {
    fn index(&self, name: &str) -> Option<usize> {
        self.table.index(name)
    }

    /// A text column with at least one value.
    fn text(&self, name: &str) -> Option<&StringArray> {
        let column = &self.columns[self.index(name)?];
        if column.null_count() == self.rows { None } else { column.as_string_opt() }
    }

    /// A constant where the mapping set nothing.
    fn keyword(&mut self, name: &str, value: Option<&str>) {
        let (Some(index), Some(value)) = (self.index(name), value) else { return };
        let column = &self.columns[index];
        let set = column.null_count() < self.rows;
        if !set {
            let keys = Int32Array::from_value(0, self.rows);
            let values: ArrayRef = Arc::new(StringArray::from(vec![value]));
            if let Some(made) = DictionaryArray::try_new(keys, values).or_defect("event.fill") {
                self.columns[index] = Arc::new(made);
            }
            return;
        }
        if column.null_count() == 0 {
            return;
        }
        let Some(texts) = cast(column, &DataType::Utf8).or_defect("event.fill") else { return };
        let Some(texts) = texts.as_string_opt::<i32>() else { return };
        let made: DictionaryArray<Int32Type> =
            texts.iter().map(|v| Some(v.unwrap_or(value))).collect();
        self.columns[index] = Arc::new(made);
    }

    fn ingest_time(&mut self, times: &[i64]) {
        let Some(index) = self.index("ingest_time") else { return };
        let kind = self.columns[index].data_type().clone();
        let last = times.last().copied().unwrap_or_default();
        let time = |row: usize| times.get(row).copied().unwrap_or(last);
        let set = self.columns[index].as_primitive_opt::<TimestampMillisecondType>();
        if set.is_some_and(|set| set.null_count() == 0) {
            return;
        }
        let made: TimestampMillisecondArray = (0..self.rows)
            .map(|row| Some(set.filter(|s| s.is_valid(row)).map_or(time(row), |s| s.value(row))))
            .collect();
        self.columns[index] = Arc::new(made.with_data_type(kind));
    }

    fn class(&mut self, class: Option<i32>) {
        let (Some(index), Some(class)) = (self.index("class_uid"), class) else { return };
        let made = match self.columns[index].as_primitive_opt::<Int32Type>() {
            Some(set) if set.null_count() == 0 => return,
            Some(set) if set.null_count() < self.rows => {
                set.iter().map(|v| Some(v.unwrap_or(class))).collect()
            }
            _ => Int32Array::from_value(class, self.rows),
        };
        self.columns[index] = Arc::new(made);
    }

    /// OCSF ids from captions: looked up once per distinct caption and class.
    fn ids(&mut self, caption: &str, id: &str) {
        let (Some(caption), Some(id)) = (self.index(caption), self.index(id)) else { return };
        let Some(class) = self.index("class_uid") else { return };
        let captions = &self.columns[caption];
        if captions.null_count() == self.rows || self.columns[id].null_count() == 0 {
            return;
        }
        let Some(captions) = captions.as_dictionary_opt::<Int32Type>() else { return };
        let Some(texts) = captions.values().as_string_opt::<i32>() else { return };
        let Some(classes) = self.columns[class].as_primitive_opt::<Int32Type>() else { return };
        let Some(set) = self.columns[id].as_primitive_opt::<Int32Type>() else { return };
        let column: &Column = &self.table.columns[caption];
        let mut known: Vec<(i32, Vec<Option<i32>>)> = Vec::new();
        let made: Int32Array = (0..self.rows)
            .map(|row| {
                if set.is_valid(row) {
                    return Some(set.value(row));
                }
                let key = captions.key(row)?;
                let class = classes.value(row);
                let of_class = match known.iter().position(|(c, _)| *c == class) {
                    Some(i) => i,
                    None => {
                        let ids = texts.iter().map(|t| t.map(|t| column.id(class, t)));
                        known.push((class, ids.collect()));
                        known.len() - 1
                    }
                };
                known[of_class].1.get(key).copied().flatten()
            })
            .collect();
        self.columns[id] = Arc::new(made);
    }

    /// Puts every value of a text column in its canonical form; copies only if one is not.
    fn rewrite(&mut self, name: &str, form: impl Fn(&str) -> Cow<'_, str>) {
        let Some(index) = self.index(name) else { return };
        let Some(column) = self.text(name) else { return };
        // A form that borrows all of a value is the value.
        let kept = |v: &str| matches!(form(v), Cow::Borrowed(same) if same.len() == v.len());
        if column.iter().flatten().all(kept) {
            return;
        }
        let made: StringArray = column.iter().map(|v| v.map(&form)).collect();
        self.columns[index] = Arc::new(made);
    }

    /// Puts every address of a list in its canonical form; copies only if one is not.
    fn addresses(&mut self, name: &str) {
        let Some(index) = self.index(name) else { return };
        let Some((list, texts)) = self.column_of_lists(name) else { return };
        let form = |v: &str| canonical_ip(v).map_or_else(|| v.to_owned(), Cow::into_owned);
        if texts.iter().flatten().all(|v| canonical_ip(v).is_none_or(|form| form == v)) {
            return;
        }
        let made: StringArray = texts.iter().map(|v| v.map(form)).collect();
        let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
        self.columns[index] = Arc::new(ListArray::new(item, offsets, Arc::new(made), nulls));
    }

    fn is_private(&mut self, address: &str, flag: &str) {
        let Some(index) = self.index(flag) else { return };
        let Some(column) = self.text(address) else { return };
        let Some(set) = self.columns[index].as_boolean_opt() else { return };
        let made: BooleanArray = (0..self.rows)
            .map(|row| match (set.is_valid(row), column.is_valid(row)) {
                (true, _) => Some(set.value(row)),
                (false, true) => is_private_ip(column.value(row)),
                (false, false) => None,
            })
            .collect();
        self.columns[index] = Arc::new(made);
    }

    /// The first that `names` knows of what the mapping set and `sources`, else the first; lower case.
    fn entity(&mut self, name: &str, sources: &[&str], names: Option<&Names>) {
        let Some(index) = self.index(name) else { return };
        let candidates: Vec<(usize, &StringArray)> = std::iter::once(&name)
            .chain(sources)
            .filter_map(|n| Some((self.index(n)?, self.text(n)?)))
            .collect();
        let Some((first, column)) = candidates.first() else { return };
        // Most sources have one complete column of lower-case names: share it.
        if names.is_none_or(Names::is_empty)
            && column.null_count() == 0
            && column.iter().flatten().all(|v| !v.is_empty() && is_lower(v))
        {
            self.columns[index] = Arc::clone(&self.columns[*first]);
            return;
        }
        let mut made = StringBuilder::with_capacity(self.rows, column.value_data().len());
        for row in 0..self.rows {
            let values = candidates.iter().map(|(_, c)| c.is_valid(row).then(|| c.value(row)));
            made.append_option(entity(values, names));
        }
        self.columns[index] = Arc::new(made.finish());
    }

    /// The distinct non-empty values of several columns per row; a list the mapping set is kept. An
    /// empty one counts as not set: a mapping's unset list columns arrive as empty lists.
    fn list(&mut self, name: &str, sources: &[&str], more: &[&str], take: impl Fn(&str) -> bool) {
        let Some(index) = self.index(name) else { return };
        let texts: Vec<&StringArray> = sources.iter().filter_map(|n| self.text(n)).collect();
        let more: Vec<Lists<'_>> = more.iter().filter_map(|n| self.column_of_lists(n)).collect();
        if texts.is_empty() && more.is_empty() {
            return;
        }
        let set = self.column_of_lists(name).filter(|(_, items)| !items.is_empty());
        if let ([column], [], None) = (texts.as_slice(), more.as_slice(), set)
            && let Some(made) = one_each(column, &take)
        {
            self.columns[index] = Arc::new(made);
            return;
        }
        let size = texts.iter().map(|c| c.value_data().len()).sum();
        let mut values = StringBuilder::with_capacity(self.rows, size);
        let mut lengths = Vec::with_capacity(self.rows);
        let mut seen: Vec<&str> = Vec::new();
        for row in 0..self.rows {
            seen.clear();
            if let Some(set) = set.filter(|s| s.0.is_valid(row) && s.0.value_length(row) > 0) {
                seen.extend(items(set, row));
            } else {
                let row_texts =
                    texts.iter().filter(|c| c.is_valid(row)).map(|column| column.value(row));
                let row_lists = more.iter().flat_map(|list| items(*list, row));
                for value in row_texts.chain(row_lists) {
                    if !value.is_empty() && take(value) && !seen.contains(&value) {
                        seen.push(value);
                    }
                }
            }
            seen.iter().for_each(|v| values.append_value(v));
            lengths.push(seen.len());
        }
        let made = ListArray::new(
            Arc::new(Field::new_list_field(DataType::Utf8, true)),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(values.finish()),
            None,
        );
        self.columns[index] = Arc::new(made);
    }

    fn column_of_lists(&self, name: &str) -> Option<Lists<'_>> {
        let column = &self.columns[self.index(name)?];
        if column.null_count() == self.rows {
            return None;
        }
        let list = column.as_list_opt::<i32>()?;
        Some((list, list.values().as_string_opt()?))
    }

    /// A list is empty, never NULL.
    fn empty_lists(&mut self) {
        let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let none: ArrayRef = Arc::new(ListArray::new(
            Arc::clone(&item),
            OffsetBuffer::new_zeroed(self.rows),
            Arc::new(StringArray::new_null(0)),
            None,
        ));
        for (index, column) in self.table.columns.iter().enumerate() {
            let nulls = self.columns[index].null_count();
            if column.kind != ColumnType::List || nulls == 0 {
                continue;
            }
            if nulls == self.rows {
                self.columns[index] = Arc::clone(&none);
                continue;
            }
            let Some(lists) = self.column_of_lists(column.name) else { continue };
            let mut values = StringBuilder::new();
            let mut lengths = Vec::with_capacity(self.rows);
            for row in 0..self.rows {
                let before = values.len();
                if lists.0.is_valid(row) {
                    items(lists, row).for_each(|v| values.append_value(v));
                }
                lengths.push(values.len() - before);
            }
            self.columns[index] = Arc::new(ListArray::new(
                Arc::clone(&item),
                OffsetBuffer::from_lengths(lengths),
                Arc::new(values.finish()),
                None,
            ));
        }
    }
}

/// Lists of the one text of each row, sharing the column; `None` if a text does not belong in a list.
fn one_each(column: &StringArray, take: impl Fn(&str) -> bool) -> Option<ListArray> {
    if !column.iter().flatten().all(|v| !v.is_empty() && take(v)) {
        return None;
    }
    let (values, offsets): (ArrayRef, _) = match column.nulls().filter(|n| n.null_count() > 0) {
        None => {
            let offsets = OffsetBuffer::from_repeated_length(1, column.len());
            (Arc::new(column.clone()), offsets)
        }
        Some(nulls) => {
            let there = BooleanArray::new(nulls.inner().clone(), None);
            let lengths = nulls.iter().map(usize::from);
            (filter(column, &there).or_defect("event.fill")?, OffsetBuffer::from_lengths(lengths))
        }
    };
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    ListArray::try_new(item, offsets, values, None).or_defect("event.fill")
}

/// A column of lists and the texts its rows are ranges of.
type Lists<'a> = (&'a ListArray, &'a StringArray);

/// The non-NULL items of a row.
fn items((lists, texts): Lists<'_>, row: usize) -> impl Iterator<Item = &str> {
    let offsets = lists.value_offsets();
    let range = offsets[row] as usize..offsets[row + 1] as usize;
    range.filter(|i| texts.is_valid(*i)).map(|i| texts.value(i))
}

fn is_lower(text: &str) -> bool {
    matches!(lower(text), Cow::Borrowed(_))
}

#[cfg(test)]
mod tests;

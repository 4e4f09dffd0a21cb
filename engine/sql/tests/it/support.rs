//! Small tables and reproducible chance.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, StringArray, TimestampMillisecondArray, new_null_array},
    compute::cast,
    datatypes::{DataType, TimestampMillisecondType},
    record_batch::RecordBatch,
};
use sluice_event::{Schema, TableName};

/// SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A row of `authentication`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) uid: u128,
    pub(crate) time: i64,
    pub(crate) user: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) ip: Option<String>,
}

/// Rows as batches of `authentication`, `size` rows each.
pub(crate) fn authentication(rows: &[Row], size: usize) -> BTreeMap<TableName, Vec<RecordBatch>> {
    let table = Schema::builtin().table("authentication").unwrap();
    let batches = rows
        .chunks(size)
        .map(|rows| {
            let text = |f: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
                Arc::new(rows.iter().map(f).collect::<StringArray>())
            };
            let columns = table.columns.iter().map(|column| {
                let kind = column.kind.arrow();
                let array: ArrayRef = match column.name {
                    "time" => Arc::new(
                        rows.iter()
                            .map(|r| Some(r.time))
                            .collect::<TimestampMillisecondArray>()
                            .with_timezone("UTC"),
                    ),
                    "event_uid" => text(&|r| Some(format!("{:032x}", r.uid))),
                    "user_name" => text(&|r| r.user.clone()),
                    "status" => text(&|r| r.status.clone()),
                    "src_ip" => text(&|r| r.ip.clone()),
                    _ => new_null_array(&kind, rows.len()),
                };
                cast(&array, &kind).unwrap()
            });
            RecordBatch::try_new(table.arrow.clone(), columns.collect()).unwrap()
        })
        .collect();
    BTreeMap::from([(table.name.clone(), batches)])
}

/// Rows with few users, ties, negative times, NULLs; unsorted.
pub(crate) fn random_rows(chance: &mut Chance) -> Vec<Row> {
    let count = chance.below(60) as usize;
    let span = 1 + chance.below(60) as i64;
    (0..count)
        .map(|_| {
            let mut pick = |prefix: &str, n: u64| {
                let i = chance.below(n + 1);
                (i > 0).then(|| format!("{prefix}{i}"))
            };
            Row {
                user: pick("u", 3),
                status: pick("s", 2),
                ip: pick("10.0.0.", 4),
                time: chance.below(span as u64) as i64 * 1000 - 20_000,
                uid: u128::from(chance.next()) << 64 | u128::from(chance.next()),
            }
        })
        .collect()
}

/// Every value of a column as text; times as milliseconds.
pub(crate) fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let array = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    if let Some(times) = array.as_primitive_opt::<TimestampMillisecondType>() {
        return times.iter().map(|t| t.map(|t| t.to_string())).collect();
    }
    let array = cast(array, &DataType::Utf8).unwrap();
    array.as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

//! Tests of [`super::fill`]: each names the columns it sets, the rest is NULL as a mapping leaves it.

use arrow::array::{ListBuilder, new_null_array};

use super::*;
use crate::{Schema, Value};

const CONTEXT: Fill<'static> = Fill {
    source: "okta.system",
    vendor: Some("Okta"),
    product: None,
    tenant: "default",
    ingest_time: &[99],
    class_uid: None,
    aliases: None,
};

type Cells<'a> = &'a [(&'a str, &'a [Option<&'a str>])];

/// Rows of a table whose text and keyword columns are given, filled.
fn filled(table: &str, cells: Cells<'_>, context: &Fill<'_>) -> RecordBatch {
    let table = Schema::builtin().table(table).unwrap();
    fill(rows(table, cells), table, context)
}

fn rows(table: &TableSchema, cells: Cells<'_>) -> RecordBatch {
    let rows = cells[0].1.len();
    let columns = table.arrow.fields().iter().map(|f| {
        let values = cells.iter().find(|(name, _)| name == f.name()).map(|(_, v)| *v);
        match values {
            None if f.name() == "time" => {
                Value::to_array(&vec![Value::Time(5); rows], f.data_type())
            }
            None => new_null_array(f.data_type(), rows),
            Some(values) if matches!(f.data_type(), DataType::List(_)) => {
                let mut list = ListBuilder::new(StringBuilder::new());
                for v in values {
                    list.append_option(v.map(|v| v.split(',').map(Some)));
                }
                Arc::new(list.finish())
            }
            Some(values) => {
                let texts: StringArray = values.iter().copied().collect();
                cast(&texts, f.data_type()).unwrap()
            }
        }
    });
    RecordBatch::try_new(table.arrow.clone(), columns.collect()).unwrap()
}

/// A column as text, `NULL` for NULL, lists in brackets.
fn show(rows: &RecordBatch, column: &str) -> Vec<String> {
    let column = rows.column_by_name(column).unwrap();
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let format = arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap();
    (0..rows.num_rows()).map(|i| format.value(i).to_string()).collect()
}

#[test]
fn where_a_row_comes_from() {
    let rows = filled("authentication", &[("activity", &[Some("Logon"), None])], &CONTEXT);
    assert_eq!(show(&rows, "source"), ["okta.system"; 2]);
    assert_eq!(show(&rows, "vendor"), ["Okta"; 2]);
    assert_eq!(show(&rows, "product"), ["NULL"; 2]);
    assert_eq!(show(&rows, "tenant"), ["default"; 2]);
    assert_eq!(
        rows.column_by_name("ingest_time")
            .unwrap()
            .as_primitive::<TimestampMillisecondType>()
            .values(),
        &[99, 99]
    );
    assert_eq!(show(&rows, "class_uid"), ["3002"; 2]);
}

#[test]
fn a_mapping_may_override() {
    let cells: Cells<'_> = &[
        ("vendor", &[Some("Auth0"), None]),
        ("class_uid", &[None, Some("3003")]),
        ("status_id", &[Some("7"), None]),
        ("status", &[Some("Failure"), Some("Failure")]),
        ("user_entity", &[Some("ANN"), None]),
        ("user_name", &[Some("ann@example.com"), Some("Bo")]),
        ("ips", &[Some("10.0.0.1"), None]),
        ("src_ip", &[Some("203.0.113.9"), Some("203.0.113.9")]),
    ];
    let rows = filled("authentication", cells, &CONTEXT);
    assert_eq!(show(&rows, "vendor"), ["Auth0", "Okta"]);
    assert_eq!(show(&rows, "class_uid"), ["3002", "3003"]);
    assert_eq!(show(&rows, "status_id"), ["7", "2"]);
    assert_eq!(show(&rows, "user_entity"), ["ann", "bo"]);
    assert_eq!(show(&rows, "ips"), ["[10.0.0.1]", "[203.0.113.9]"]);
}

#[test]
fn ids_come_from_captions_of_the_rows_class() {
    let cells: Cells<'_> = &[
        ("activity", &[Some("Delete"), Some("Delete"), Some("Delete"), None, Some("Odd")]),
        ("class_uid", &[None, Some("3004"), Some("3006"), None, None]),
    ];
    let rows = filled("identity_change", cells, &CONTEXT);
    assert_eq!(show(&rows, "activity_id"), ["6", "4", "99", "NULL", "99"]);
    assert_eq!(show(&rows, "status_id"), ["NULL"; 5], "no status, no id");
    let user_access = Fill { class_uid: Some(3005), ..CONTEXT };
    let cells: Cells<'_> = &[("activity", &[Some("Assign Privileges")])];
    let rows = filled("identity_change", cells, &user_access);
    assert_eq!(show(&rows, "activity_id"), ["1"]);
}

#[test]
fn addresses_and_hosts_are_canonical() {
    let cells: Cells<'_> = &[
        ("src_ip", &[Some("::FFFF:10.0.0.1"), Some("2001:DB8::1"), Some("AWS Internal"), None]),
        ("dst_hostname", &[Some("DB-3.Example.COM."), Some("ünïcode.ÉXAMPLE"), Some("."), None]),
        ("tls_sni", &[Some("A.example"), None, Some("a.example"), Some("")]),
    ];
    let rows = filled("network", cells, &CONTEXT);
    assert_eq!(show(&rows, "src_ip"), ["10.0.0.1", "2001:db8::1", "AWS Internal", "NULL"]);
    assert_eq!(show(&rows, "src_is_private"), ["true", "false", "NULL", "NULL"]);
    assert_eq!(show(&rows, "dst_hostname"), ["db-3.example.com", "ünïcode.éxample", ".", "NULL"]);
    assert_eq!(show(&rows, "ips"), ["[10.0.0.1]", "[2001:db8::1]", "[]", "[]"]);
    assert_eq!(show(&rows, "domains"), ["[a.example]", "[]", "[a.example]", "[]"]);
}

#[test]
fn an_entity_is_the_first_name_in_lower_case() {
    let cells: Cells<'_> = &[
        ("user_email", &[None, Some("Ann@Example.com"), Some(""), None, None]),
        ("user_name", &[Some("CORP\\Bo"), Some("ann"), Some("Cy"), None, None]),
        ("user_uid", &[Some("1"), Some("2"), Some("3"), Some("ID4"), None]),
        ("device_hostname", &[Some("WEB-2."), None, None, None, None]),
    ];
    let rows = filled("authentication", cells, &CONTEXT);
    assert_eq!(show(&rows, "user_entity"), ["corp\\bo", "ann@example.com", "cy", "id4", "NULL"]);
    assert_eq!(show(&rows, "device_entity"), ["web-2", "NULL", "NULL", "NULL", "NULL"]);
    assert_eq!(show(&rows, "actor_user_entity"), ["NULL"; 5]);
    assert_eq!(show(&rows, "users")[1], "[ann, Ann@Example.com]");
}

#[test]
fn lists_are_empty_and_never_null() {
    let cells: Cells<'_> = &[
        ("mfa_factors", &[Some("Push,SMS"), None, Some("Push")]),
        ("src_ip", &[Some("10.0.0.1"), Some("10.0.0.1"), None]),
        ("dst_ip", &[Some("10.0.0.1"), Some("10.0.0.2"), None]),
    ];
    let rows = filled("authentication", cells, &CONTEXT);
    assert_eq!(show(&rows, "mfa_factors"), ["[Push, SMS]", "[]", "[Push]"]);
    assert_eq!(show(&rows, "ips"), ["[10.0.0.1]", "[10.0.0.1, 10.0.0.2]", "[]"], "distinct");
    assert_eq!(show(&rows, "hashes"), ["[]"; 3]);
    assert_eq!(rows.column_by_name("hashes").unwrap().null_count(), 0);
    let cells: Cells<'_> =
        &[("x_forwarded_for", &[Some("203.0.113.9,unknown")]), ("src_ip", &[Some("10.0.0.4")])];
    assert_eq!(show(&filled("http", cells, &CONTEXT), "ips"), ["[10.0.0.4, 203.0.113.9]"]);
    let cells: Cells<'_> = &[
        ("src_ips", &[Some("2001:DB8::1,10.0.0.4"), None]),
        ("src_ip", &[Some("10.0.0.4"), Some("10.0.0.5")]),
    ];
    let rows = filled("api_activity", cells, &CONTEXT);
    assert_eq!(show(&rows, "src_ips"), ["[2001:db8::1, 10.0.0.4]", "[]"]);
    assert_eq!(show(&rows, "ips"), ["[10.0.0.4, 2001:db8::1]", "[10.0.0.5]"]);
}

#[test]
fn what_needs_no_change_is_not_copied() {
    let table = Schema::builtin().table("authentication").unwrap();
    let cells: Cells<'_> = &[
        ("user_name", &[Some("ann"), Some("bo")]),
        ("src_ip", &[Some("203.0.113.9"), Some("2001:db8::1")]),
    ];
    let before = rows(table, cells);
    let after = fill(before.clone(), table, &CONTEXT);
    let same = |a: &str, b: &str| {
        Arc::ptr_eq(before.column_by_name(a).unwrap(), after.column_by_name(b).unwrap())
    };
    assert!(same("src_ip", "src_ip") && same("user_name", "user_entity"));
    assert!(same("dst_ip", "dst_ip") && same("device_entity", "device_entity"));
    let again = fill(after.clone(), table, &CONTEXT);
    assert_eq!(again, after, "filling twice changes nothing");
}

#[test]
fn every_table_can_be_filled() {
    for table in Schema::builtin().tables() {
        let out = filled(table.name.as_str(), &[("message", &[Some("m"), None])], &CONTEXT);
        let class = table.classes[0].0.to_string();
        assert_eq!(show(&out, "class_uid"), [class.as_str(); 2]);
        assert_eq!(out.schema_ref(), &table.arrow);
        let empty = RecordBatch::new_empty(table.arrow.clone());
        assert_eq!(fill(empty, table, &CONTEXT).num_rows(), 0);
    }
}

#[test]
fn whatever_a_source_calls_a_user_it_is_one_entity() {
    let mut aliases = Aliases::default();
    for name in ["Ann@Example.com", "CORP\\ann", "00uAnn"] {
        aliases.users.add("ann@example.com", name).unwrap();
    }
    assert_eq!(aliases.users.add("bob", "corp\\ANN"), Err("ann@example.com".to_owned()));
    aliases.devices.add("laptop-1", "guo4a5u7").unwrap();
    let cells: Cells<'_> = &[
        ("user_email", &[Some("ANN@example.com"), None, None, None]),
        ("user_name", &[None, Some("corp\\ann"), Some("Nobody knows"), Some("eve")]),
        ("user_uid", &[None, None, Some("00uann"), Some("00ueve")]),
        ("device_uid", &[Some("GUO4A5U7"), None, None, None]),
        ("actor_user_uid", &[Some("00uAnn"), None, None, None]),
    ];
    let rows = filled("identity_change", cells, &Fill { aliases: Some(&aliases), ..CONTEXT });
    let ann = "ann@example.com";
    assert_eq!(show(&rows, "user_entity"), [ann, ann, ann, "eve"]);
    assert_eq!(show(&rows, "actor_user_entity")[0], ann);
    assert_eq!(show(&rows, "device_entity")[0], "laptop-1");
}

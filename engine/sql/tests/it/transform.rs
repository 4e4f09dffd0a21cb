//! Mappings: the Okta example, casts, conflicts, failing records, and what is refused.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
        StructArray, TimestampMillisecondArray, UInt32Array,
    },
    buffer::OffsetBuffer,
    compute::{cast, concat_batches, take_record_batch},
    datatypes::{DataType, Field},
};
use sluice_event::{Schema, Transform};
use sluice_sql::{SqlProblem, compile_transform};

use crate::support::texts;

fn object(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    Arc::new(StructArray::from(
        fields
            .into_iter()
            .map(|(name, array)| {
                (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
            })
            .collect::<Vec<_>>(),
    ))
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Three Okta records: a failed sign-in with a target app, a successful MFA, a logoff without actor.
fn okta() -> RecordBatch {
    let targets = object(vec![
        ("type", text(&[Some("User"), Some("AppInstance")])),
        ("displayName", text(&[Some("Ann"), Some("Mail")])),
    ]);
    let field = Arc::new(Field::new_list_field(targets.data_type().clone(), true));
    let target = ListArray::new(field, OffsetBuffer::from_lengths([2, 0, 0]), targets, None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("uuid", text(&[Some("u1"), Some("u2"), Some("u3")])),
        (
            "published",
            Arc::new(
                TimestampMillisecondArray::from(vec![Some(1), Some(2), None]).with_timezone("UTC"),
            ),
        ),
        (
            "eventType",
            text(&[
                Some("user.session.start"),
                Some("user.authentication.auth_via_mfa"),
                Some("user.session.end"),
            ]),
        ),
        (
            "outcome",
            object(vec![
                ("result", text(&[Some("FAILURE"), Some("SUCCESS"), None])),
                ("reason", text(&[Some("INVALID_CREDENTIALS"), None, None])),
            ]),
        ),
        (
            "actor",
            object(vec![
                ("id", text(&[Some("00u1"), Some("00u2"), None])),
                ("alternateId", text(&[Some("ann@example.com"), Some("bob@example.com"), None])),
            ]),
        ),
        ("port", text(&[Some("443"), Some("https"), None])),
        ("score", Arc::new(Int64Array::from(vec![Some(0), Some(2), None]))),
        ("rate", Arc::new(Float64Array::from(vec![Some(0.5), None, None]))),
        ("target", Arc::new(target)),
        ("debugContext", text(&[Some(r#"{"debugData":{"risk":"HIGH"}}"#), Some("{}"), None])),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

fn compile(when: Option<&str>, sql: &str) -> Result<Arc<dyn Transform>, Vec<SqlProblem>> {
    let table = Schema::builtin().table("authentication").unwrap();
    compile_transform(table, "okta_system", okta().schema(), when, sql, 0)
}

#[test]
fn the_okta_example_maps() {
    let transform = compile(
        Some("eventType LIKE 'user.session.%' OR eventType LIKE 'user.authentication.%'"),
        r#"SELECT published                                             AS time,
       CASE WHEN eventType = 'user.session.end' THEN 'Logoff' ELSE 'Logon' END AS activity,
       CASE outcome.result WHEN 'SUCCESS' THEN 'Success' WHEN 'ALLOW' THEN 'Success'
                           WHEN 'FAILURE' THEN 'Failure' WHEN 'DENY' THEN 'Failure' ELSE 'Unknown' END AS status,
       outcome.reason                                        AS status_detail,
       eventType                                             AS event_code,
       actor.id                                              AS user_uid,
       actor.alternateId                                     AS user_email,
       actor.alternateId                                     AS user_name,
       eventType LIKE 'user.authentication.auth_via_mfa%'    AS is_mfa,
       array_filter(target, t -> t['type'] = 'AppInstance')[1]['displayName'] AS app_name,
       json_get_str(debugContext, 'debugData', 'risk')       AS "unmapped.okta_risk",
       target                                                AS "unmapped.target",
       score                                                 AS "unmapped.score"
FROM okta_system"#,
    )
    .unwrap();
    let wire = okta();
    assert_eq!(transform.matches(&wire).true_count(), 3);
    let mapped = transform.apply(&wire);
    assert!(mapped.failed.is_empty() && mapped.conflicts.is_empty());
    assert_eq!(mapped.record, [0, 1, 2]);
    let table = Schema::builtin().table("authentication").unwrap();
    assert_eq!(mapped.rows.num_columns(), table.columns.len());
    for (column, field) in table.columns.iter().zip(mapped.rows.schema().fields()) {
        assert_eq!((column.name, &column.kind.arrow()), (field.name().as_str(), field.data_type()));
    }
    let some = |values: &[&str]| -> Vec<Option<String>> {
        values.iter().map(|v| (*v != "-").then(|| (*v).to_owned())).collect()
    };
    for (column, expect) in [
        ("time", ["1", "2", "-"]),
        ("activity", ["Logon", "Logon", "Logoff"]),
        ("status", ["Failure", "Success", "Unknown"]),
        ("status_detail", ["INVALID_CREDENTIALS", "-", "-"]),
        ("user_email", ["ann@example.com", "bob@example.com", "-"]),
        ("user_name", ["ann@example.com", "bob@example.com", "-"]),
        ("is_mfa", ["false", "true", "false"]),
        ("app_name", ["Mail", "-", "-"]),
        (
            "unmapped",
            [
                r#"{"okta_risk":"HIGH","target":[{"type":"User","displayName":"Ann"},{"type":"AppInstance","displayName":"Mail"}],"score":0}"#,
                r#"{"target":[],"score":2}"#,
                r#"{"target":[]}"#,
            ],
        ),
        ("src_ip", ["-", "-", "-"]),
    ] {
        assert_eq!(texts(&mapped.rows, column), some(&expect), "{column}");
    }
}

#[test]
fn casts_that_fail_give_null_and_are_counted() {
    let transform =
        compile(None, "SELECT published AS time, port AS src_port FROM okta_system").unwrap();
    let mapped = transform.apply(&okta());
    let table = Schema::builtin().table("authentication").unwrap();
    assert_eq!(mapped.conflicts, [(table.index("src_port").unwrap(), 1)]);
    assert_eq!(texts(&mapped.rows, "src_port"), [Some("443".to_owned()), None, None]);
}

#[test]
fn a_record_that_fails_takes_no_other_with_it() {
    let transform =
        compile(None, "SELECT published AS time, 10 / score AS src_port FROM okta_system").unwrap();
    let mapped = transform.apply(&okta());
    assert_eq!(mapped.record, [1, 2]);
    assert_eq!(mapped.failed.len(), 1);
    assert_eq!(mapped.failed[0].record, 0);
    assert!(mapped.failed[0].message.contains("ivide by zero"), "{}", mapped.failed[0].message);
    assert_eq!(texts(&mapped.rows, "src_port"), [Some("5".to_owned()), None]);
    let when =
        compile(Some("10 / score > 1"), "SELECT published AS time FROM okta_system").unwrap();
    let taken: Vec<_> = when.matches(&okta()).iter().collect();
    assert_eq!(taken, [Some(false), Some(true), Some(false)]);
}

#[test]
fn where_and_subqueries_keep_the_record_of_each_row() {
    let transform = compile(
        None,
        "WITH r AS (SELECT published, outcome.result AS result FROM okta_system WHERE eventType LIKE '%session%') \
         SELECT published AS time, result AS status FROM r WHERE result IS NULL",
    )
    .unwrap();
    let mapped = transform.apply(&okta());
    assert_eq!(mapped.record, [2]);
    assert_eq!(mapped.rows.num_rows(), 1);
    assert_eq!(transform.apply(&okta().slice(0, 0)).rows.num_rows(), 0);
    let keyword = mapped.rows.column_by_name("status").unwrap();
    assert!(matches!(keyword.data_type(), DataType::Dictionary(_, _)));
    assert!(keyword.as_any_dictionary_opt().is_some());
}

#[test]
fn mistakes_are_named_where_they_are() {
    for (sql, code, expect, line) in [
        (
            "SELECT published AS time,\n  actor.id AS user_nmae FROM okta_system",
            "R011",
            "did you mean user_name",
            Some(2),
        ),
        (
            "SELECT published AS time,\n  publishd AS status FROM okta_system",
            "R011",
            "published",
            Some(2),
        ),
        (
            "SELECT published AS time, EVENTTYPE AS status FROM okta_system",
            "R011",
            "eventType",
            Some(1),
        ),
        (
            "SELECT published AS time, lower(eventType) FROM okta_system",
            "R011",
            "give it one",
            Some(1),
        ),
        (
            "SELECT published AS time, actor AS src_port FROM okta_system",
            "R013",
            "src_port is int",
            Some(1),
        ),
        (
            "SELECT published AS time, eventType AS status, uuid AS status FROM okta_system",
            "R016",
            "two columns are named `status`",
            Some(1),
        ),
        ("SELECT min(published) AS time FROM okta_system", "R016", "GROUP BY", Some(1)),
        ("SELECT published AS time FROM okta_system LIMIT 1", "R016", "LIMIT", Some(1)),
        ("SELECT now() AS time FROM okta_system", "R010", "not allowed", Some(1)),
        ("SELECT a.published AS time FROM okta_system a, okta_system b", "R016", "joins", Some(1)),
        ("SELECT published AS time FROM elsewhere", "R011", "not found", Some(1)),
    ] {
        let problems = compile(None, sql).unwrap_err();
        let problem = &problems[0];
        let text = problem.to_string();
        assert!(problem.code == code && text.contains(expect), "{sql}\n{text}");
        assert_eq!(problem.span.map(|s| s.0), line, "{sql}\n{text}");
    }
    for when in
        ["eventType", "eventTyp = 'x'", "count(*) > 1", "first_seen(INTERVAL '1 day', uuid)"]
    {
        assert!(
            compile(Some(when), "SELECT published AS time FROM okta_system").is_err(),
            "{when}"
        );
    }
}

#[test]
fn reasonable_expressions_simply_work() {
    let wire = RecordBatch::try_from_iter([
        ("a", text(&[Some("x"), None])),
        ("j", text(&[Some(r#"{"k": {"m": "v"}}"#), None])),
        ("n", Arc::new(Int64Array::from(vec![Some(6), None])) as ArrayRef),
        ("code", Arc::new(arrow::array::Int32Array::from(vec![Some(1), None])) as ArrayRef),
    ])
    .unwrap();
    let table = Schema::builtin().table("authentication").unwrap();
    let mut wrong = Vec::new();
    for (expr, expected) in [
        ("CASE WHEN n = 6 THEN 'tcp' WHEN n = 17 THEN 'udp' ELSE NULL END", "tcp"),
        ("CASE WHEN n = 6 THEN NULL ELSE 'udp' END", "NULL"),
        ("CASE n WHEN 6 THEN 'tcp' WHEN 17 THEN 'udp' ELSE CAST(n AS VARCHAR) END", "tcp"),
        ("CASE n WHEN 6 THEN 'tcp' ELSE n END", "tcp"),
        ("CASE WHEN n = 1 THEN 'one' ELSE n END", "6"),
        ("CASE a WHEN 'x' THEN 'y' WHEN NULL THEN 'z' END", "y"),
        ("json_get_str(j, 'k', 'm')", "v"),
        ("json_get_str(j, 'k', CASE WHEN a = 'x' THEN 'm' ELSE 'o' END)", "v"),
        ("json_get_str(CASE WHEN a = 'x' THEN j END, 'k', 'm')", "v"),
        ("json_get_str(j, 'k', CASE WHEN a = 'y' THEN 'm' END)", "NULL"),
        ("json_get_str(j, 'k', CASE n WHEN 6 THEN CASE a WHEN 'x' THEN 'm' ELSE 'z' END END)", "v"),
        ("json_get_str(j, 'k', NULL)", "NULL"),
        ("coalesce(json_get_str(j, 'k', 'none'), a, 'z')", "x"),
        ("nullif(a, '-')", "x"),
        ("CASE WHEN a IN ('x', 'y') THEN concat(a, ':', n) END", "x:6"),
    ] {
        let sql = format!("SELECT {expr} AS user_name FROM t");
        match compile_transform(table, "t", wire.schema(), None, &sql, 0) {
            Err(found) => wrong.push(format!("{expr}: {found:?}")),
            Ok(transform) => {
                let mapped = transform.apply(&wire);
                let values = texts(&mapped.rows, "user_name");
                let found = values.first().cloned().flatten().unwrap_or("NULL".into());
                if found != expected || !mapped.failed.is_empty() {
                    wrong.push(format!("{expr}: {found}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_problem_of_a_mapping_has_a_place() {
    for (sql, place, message) in [
        (
            "\nSELECT published AS time,\n  icontains(actor.id, eventType) AS user_name FROM okta_system",
            (3, 3, 9),
            "R016: argument 2 of `icontains` must be a literal",
        ),
        (
            "\nSELECT published AS time,\n       target = 5 AS is_mfa FROM okta_system",
            (3, 8, 6),
            "R013: the types on both sides do not fit: a list and a number",
        ),
        (
            "\n\nSELECT CASE WHEN eventType = 'a' THEN target ELSE 'b' END AS user_name FROM okta_system",
            (3, 8, 4),
            "R013: the branches of a `CASE` have different types",
        ),
        (
            "\n SELECT DISTINCT uuid AS user_name FROM okta_system",
            (2, 2, 6),
            "R016: a mapping cannot",
        ),
        ("\n SELECT count(*) AS user_name FROM okta_system", (2, 2, 6), "R016: a mapping cannot"),
    ] {
        let found = compile(None, sql).unwrap_err();
        let text = found[0].to_string();
        assert!(text.starts_with(message), "{sql}: {text}");
        assert_eq!(found[0].span, Some(place), "{sql}: {text}");
    }
}

/// Fields of few values are evaluated once per value: the same rows, types and failures as one by one.
#[test]
fn a_batch_maps_as_its_records_do_one_by_one() {
    let sql = "SELECT published AS time, eventType AS event_code, actor.alternateId AS user_name, \
                      CASE WHEN eventType LIKE '%.end' THEN 'Logoff' WHEN eventType LIKE '%start' THEN 'Logon' END AS activity, \
                      CASE WHEN outcome.result = 'FAILURE' THEN outcome.reason END AS status_detail, \
                      nullif(outcome.result, 'SUCCESS') AS status, port AS app_name, \
                      upper(port) AS auth_protocol, 100 / score AS src_port, \
                      coalesce(actor.id, eventType) AS user_uid, \
                      eventType AS \"unmapped.kind\" FROM okta_system";
    let transform = compile(Some("eventType LIKE 'user.%'"), sql).unwrap();
    let mut failed = 0;
    for (records, step) in [(31usize, 1usize), (32, 2), (600, 1), (600, 7), (5_000, 5)] {
        let order = (0..records).map(|at| ((at * step * 7 + at / 3) % 3) as u32);
        // No failing record in some of the batches.
        let order: UInt32Array = order.map(|row| row.max(u32::from(step == 7))).collect();
        let wire = take_record_batch(&okta(), &order).unwrap();
        let whole = transform.apply(&wire);
        let mut rows = Vec::new();
        let mut failing = Vec::new();
        for at in 0..records {
            let one = transform.apply(&wire.slice(at, 1));
            failing.extend(one.failed.iter().map(|e| (at as u32, e.message.clone())));
            rows.push(one.rows);
        }
        let rows = concat_batches(&rows[0].schema(), &rows).unwrap();
        assert_eq!(whole.rows.schema(), rows.schema());
        for (field, (a, b)) in
            rows.schema().fields().iter().zip(whole.rows.columns().iter().zip(rows.columns()))
        {
            let plain = match field.data_type() {
                DataType::Dictionary(_, values) => values.as_ref().clone(),
                other => other.clone(),
            };
            let (a, b) = (cast(a, &plain).unwrap(), cast(b, &plain).unwrap());
            assert_eq!(&a, &b, "{} of {records}", field.name());
        }
        let at_once: Vec<(u32, String)> =
            whole.failed.iter().map(|e| (e.record, e.message.clone())).collect();
        assert_eq!(at_once, failing);
        failed += failing.len();
    }
    assert!(failed > 1_000, "{failed} records failed");
}

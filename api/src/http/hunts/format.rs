//! Rows in four formats. Not which is asked for by whom.

use arrow::ipc::writer::StreamWriter;
use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};
use sluice_engine::{QueryResult, json::value};

use super::{
    super::problem::{Code, Problem},
    Answer,
};

/// A format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One document, with the costs.
    Json,
    /// An object a line.
    Ndjson,
    /// Always quoted, with a header line.
    Csv,
    /// Arrow's IPC stream.
    Arrow,
}

impl Format {
    const ALL: [Format; 4] = [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow];

    /// The media type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The first one that `Accept` names with the highest weight; JSON if it takes anything.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
        let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Format::Json) };
        let accept = accept.to_str().unwrap_or_default();
        let mut best: Option<(f32, Format)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok());
            let weight: f32 = weight.unwrap_or(1.0);
            let format = match kind.as_str() {
                "*/*" | "application/*" => Some(Format::Json),
                "text/*" => Some(Format::Csv),
                kind => Format::ALL.into_iter().find(|f| f.name().split(';').next() == Some(kind)),
            };
            if let Some(format) = format
                && weight > best.map_or(0.0, |(w, _)| w)
            {
                best = Some((weight, format));
            }
        }
        best.map(|(_, format)| format).ok_or_else(|| {
            let all = Format::ALL.map(|f| f.name().split(';').next().unwrap_or_default());
            Problem::new(Code::NotAcceptable, format!("no answer is made in `{accept}`"))
                .hint(format!("Accept: {}", all.join(", ")))
        })
    }
}

/// Rows as objects with every column, NULL as null.
pub(super) fn rows(result: &QueryResult) -> impl Iterator<Item = Map<String, Value>> {
    result.batches.iter().flat_map(|batch| {
        let schema = batch.schema();
        (0..batch.num_rows()).map(move |row| {
            let cells = schema.fields().iter().zip(batch.columns());
            cells.map(|(f, column)| (f.name().clone(), value(column, row))).collect()
        })
    })
}

/// One document.
pub(super) fn json(answer: &Answer) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(answer).map_err(|e| defect(&e))
}

/// An object a line.
pub(super) fn ndjson(result: &QueryResult) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::new();
    for row in rows(result) {
        serde_json::to_writer(&mut out, &row).map_err(|e| defect(&e))?;
        out.push(b'\n');
    }
    Ok(out)
}

/// RFC 4180, every cell quoted; NULL is an empty cell.
pub(super) fn csv(result: &QueryResult) -> Result<Vec<u8>, Problem> {
    let mut out = String::new();
    line(&mut out, result.schema.fields().iter().map(|f| neutral(f.name())));
    for row in rows(result) {
        line(
            &mut out,
            row.values().map(|cell| match cell {
                Value::Null => String::new(),
                Value::String(text) => neutral(text),
                // A number is no formula, though it may begin with a minus.
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    cell.to_string()
                }
            }),
        );
    }
    Ok(out.into_bytes())
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    }
    out.push_str("\r\n");
}

/// A cell that a spreadsheet does not run: one that begins like a formula gets a `'` before it.
fn neutral(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

/// Arrow's IPC stream.
pub(super) fn arrow(result: &QueryResult) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &result.schema).map_err(|e| defect(&e))?;
    for batch in &result.batches {
        writer.write(batch).map_err(|e| defect(&e))?;
    }
    writer.finish().map_err(|e| defect(&e))?;
    drop(writer);
    Ok(out)
}

fn defect(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "an answer could not be written");
    Problem::new(Code::Internal, "the answer could not be written; the log says why")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        record_batch::RecordBatch,
    };
    use axum::http::HeaderValue;

    use super::*;

    fn result() -> QueryResult {
        let name: ArrayRef = Arc::new(StringArray::from(vec![
            Some("=cmd|' /C calc'!A0"),
            Some("say \"hi\", ann"),
            None,
            Some("\t=1"),
        ]));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![-1, 2, 3, 4]));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("@name", name, true), ("n", n, false)])
                .unwrap();
        QueryResult { schema: batch.schema(), batches: vec![batch], truncated: false }
    }

    #[test]
    fn a_csv_cell_is_never_a_formula() {
        let text = String::from_utf8(csv(&result()).unwrap()).unwrap();
        assert_eq!(
            text,
            "\"'@name\",\"n\"\r\n\
             \"'=cmd|' /C calc'!A0\",\"-1\"\r\n\
             \"say \"\"hi\"\", ann\",\"2\"\r\n\
             \"\",\"3\"\r\n\
             \"'\t=1\",\"4\"\r\n"
        );
    }

    #[test]
    fn ndjson_has_every_column() {
        let text = String::from_utf8(ndjson(&result()).unwrap()).unwrap();
        assert_eq!(text.lines().nth(2), Some(r#"{"@name":null,"n":3}"#));
    }

    #[test]
    fn arrow_reads_back() {
        let bytes = arrow(&result()).unwrap();
        let reader = arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        assert_eq!(batches, result().batches);
    }

    #[test]
    fn the_accepted_format_is_the_one_with_the_most_weight() {
        for (accept, expected) in [
            ("*/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("text/html, application/x-ndjson", Some(Format::Ndjson)),
            ("text/csv;q=0.5, application/vnd.apache.arrow.stream", Some(Format::Arrow)),
            ("text/html", None),
            ("text/csv;q=0", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Format::accepted(&headers).ok(), expected, "{accept}");
        }
        assert_eq!(Format::accepted(&HeaderMap::new()).unwrap(), Format::Json);
    }
}

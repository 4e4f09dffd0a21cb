//! Rows of a CSV export of another product: each becomes the JSON object of the names in its header, so
//! that it is opened like the JSON of the same product. Only where the header is that of a wrapper or of
//! JSON records: a table of fields in an order of its own is its source's.
//!
//! RFC 4180, with `,`, `;` or a tab between the cells; a cell may span lines. An empty cell is absent.

use serde_json::{Map, Value};

use super::{BOM, Framer, Mode, Open};
use crate::{DeadLetterCode, Fault, Original, envelope};

/// What the names of a header may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows<'f> {
    /// Wrappers, unless most are fields of the source.
    Wrappers(&'f [String]),
    /// Wrappers, or records themselves.
    Records,
}

/// A table whose header was read.
#[derive(Debug)]
pub(super) struct Table {
    header: Vec<u8>,
    names: Vec<String>,
    delimiter: u8,
    /// Whether the rows are wrappers, whose cells are text; those of records may hold JSON.
    wraps: bool,
    at: At,
}

/// Where in a row the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the start of a cell.
    Start,
    Plain,
    Quoted,
    /// After a quote in a quoted cell: its end, or the first of two.
    Quote,
}

/// Names of a header beyond these are those of no export.
const NAMES_MAX: usize = 2_000;
/// Bytes of a name.
const NAME_BYTES: usize = 64;

impl Table {
    /// The table that a head begins, and how long its header is with the line end.
    pub(super) fn begin(head: &[u8], rows: Rows<'_>) -> Option<(Table, usize)> {
        let mut skipped = 0;
        // What Excel is told the delimiter with.
        if let Some(rest) = head.strip_prefix(b"sep=")
            && let Some(end) = memchr::memchr(b'\n', rest).filter(|end| *end <= 2)
        {
            skipped = end + 5;
        }
        let head = head.get(skipped..)?;
        if !head.first().is_some_and(|b| b.is_ascii_alphabetic() || b"\"@_".contains(b)) {
            return None;
        }
        let line = head.get(..memchr::memchr(b'\n', head)?)?;
        let table = Table::of_header(line.strip_suffix(b"\r").unwrap_or(line), rows)?;
        Some((table, skipped + line.len() + 1))
    }

    /// Whether bytes that go on may begin a table: the header is yet to come.
    pub(super) fn may_begin(head: &[u8]) -> bool {
        head.starts_with(b"sep=") && memchr::memchr_iter(b'\n', head).count() < 2
    }

    fn of_header(line: &[u8], rows: Rows<'_>) -> Option<Table> {
        let text = std::str::from_utf8(line).ok()?;
        [b',', b';', b'\t'].into_iter().find_map(|delimiter| {
            let names: Vec<String> = cells(text, delimiter).take(NAMES_MAX + 1).collect();
            if names.len() > NAMES_MAX || !names.iter().all(|name| is_name(name)) {
                return None;
            }
            let wraps = envelope::wraps_names(&names);
            let fits = match rows {
                Rows::Wrappers(fields) => {
                    wraps && {
                        let known =
                            |name: &&String| fields.iter().any(|f| f.eq_ignore_ascii_case(name));
                        names.iter().filter(known).count() * 2 < names.len()
                    }
                }
                Rows::Records => wraps || names.len() > 2,
            };
            let header = line.to_vec();
            fits.then_some(Table { header, names, delimiter, wraps, at: At::Start })
        })
    }

    /// Whether a byte ends the row.
    fn step(&mut self, byte: u8) -> bool {
        self.at = match (self.at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
            (_, b'\n') => {
                self.at = At::Start;
                return true;
            }
            (At::Start, b'"') => At::Quoted,
            (_, byte) if byte == self.delimiter => At::Start,
            // Its line end may be that of Windows.
            (At::Quote, b'\r') => At::Quote,
            (At::Start | At::Plain | At::Quote, _) => At::Plain,
        };
        false
    }

    /// A row as JSON.
    ///
    /// # Errors
    /// It has another number of cells than its header, or a cell that cannot be read.
    fn object(&self, row: &str) -> Result<String, String> {
        let cells: Vec<String> = cells(row, self.delimiter).take(NAMES_MAX + 1).collect();
        if cells.len() != self.names.len() {
            let names = self.names.len();
            return Err(format!("{} cells, {names} names in the header of the table", cells.len()));
        }
        let mut object = Map::new();
        for (name, cell) in self.names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            if self.wraps {
                object.insert(name.clone(), cell.into());
                continue;
            }
            let json = cell.starts_with(['{', '[']).then(|| serde_json::from_str(&cell).ok());
            if json == Some(None) && is_struct(&cell) {
                return Err(format!(
                    "`{name}` is a structure as Athena prints it, `{{type=.., ..}}`, which cannot be told \
                     apart again: select it as JSON, `json_format(CAST({name} AS JSON))`, or UNLOAD to JSON"
                ));
            }
            put(&mut object, name, json.flatten().unwrap_or(Value::String(cell)));
        }
        Ok(Value::Object(object).to_string())
    }
}

impl Framer {
    pub(super) fn push_table(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let Mode::Table(table) = &mut self.mode else { return };
            let end = input.iter().position(|byte| table.step(*byte));
            let row = end.map_or(input, |end| input.get(..=end).unwrap_or(input));
            self.append(row);
            self.advance(row);
            self.line += memchr::memchr_iter(b'\n', row).count() as u64;
            if end.is_some() {
                self.end_row();
            }
            input = input.get(row.len()..).unwrap_or_default();
        }
    }

    /// Ends the row of a table.
    pub(super) fn end_row(&mut self) {
        let Mode::Table(table) = &mut self.mode else { return };
        table.at = At::Start;
        if self.open.oversize.is_some() {
            return self.close();
        }
        let row = self.bytes.get(self.open.start..).unwrap_or_default();
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        let row = row.strip_prefix(BOM).unwrap_or(row);
        if row == table.header {
            return self.discard();
        }
        let text = String::from_utf8_lossy(row);
        match table.object(&text) {
            // A blank line stays one; an object is no row, whatever the line before the first one was.
            _ if row.is_empty() => self.bytes.truncate(self.open.start),
            _ if row.starts_with(b"{") => {
                let object = row.to_vec();
                self.bytes.truncate(self.open.start);
                self.bytes.extend_from_slice(&object);
            }
            Ok(object) => {
                self.bytes.truncate(self.open.start);
                self.bytes.extend_from_slice(object.as_bytes());
            }
            Err(message) => {
                // Several exports one after the other.
                let rows = if table.wraps { Rows::Wrappers(&[]) } else { Rows::Records };
                if let Some(next) = Table::of_header(row, rows) {
                    *table = next;
                    return self.discard();
                }
                let Open { line, offset, .. } = self.open;
                self.faults.push(Fault {
                    code: DeadLetterCode::BadFraming,
                    message,
                    line,
                    offset,
                    original: Original::Whole(row.to_vec()),
                    received_at: None,
                    envelope: None,
                });
                return self.discard();
            }
        }
        self.close();
    }
}

/// The cells of a row, in which a doubled quote is one.
fn cells(row: &str, delimiter: u8) -> impl Iterator<Item = String> {
    let mut rest = Some(row);
    let delimiter = char::from(delimiter);
    std::iter::from_fn(move || {
        let row = rest?;
        let mut cell = String::new();
        let mut tail = row;
        if let Some(mut quoted) = row.strip_prefix('"') {
            loop {
                let Some((text, after)) = quoted.split_once('"') else {
                    // It was not closed: the row is cut off.
                    cell.push_str(quoted);
                    tail = "";
                    break;
                };
                cell.push_str(text);
                let Some(after) = after.strip_prefix('"') else {
                    tail = after;
                    break;
                };
                cell.push('"');
                quoted = after;
            }
        }
        let (text, after) = match tail.split_once(delimiter) {
            Some((text, after)) => (text, Some(after)),
            None => (tail, None),
        };
        cell.push_str(text);
        rest = after;
        Some(cell)
    })
}

/// Whether a cell can be the name of a column: `_raw`, `host.name`, `TimeGenerated [UTC]`. It has no colon: the
/// first cell of a log line is no name, since its time has.
fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '@' | '_'))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" @_.-/#$()[]{}".contains(&b))
}

/// Whether a cell is a Hive structure, `{type=IAMUser, username=ann}`, or a list of them.
fn is_struct(cell: &str) -> bool {
    let inner = cell.trim_start_matches(['[', '{']);
    let name = inner.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// Puts a value where a dotted name says, or under the name itself if that is taken.
fn put(object: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        Some((first, rest)) if !first.is_empty() && !rest.is_empty() => {
            let inner = object.entry(first).or_insert_with(|| Value::Object(Map::new()));
            match inner {
                Value::Object(inner) => put(inner, rest, value),
                _ => drop(object.insert(name.to_owned(), value)),
            }
        }
        _ => drop(object.insert(name.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Limits, Unwrap};

    fn framed(framing: &Framing, text: &str, piece: usize) -> (Vec<String>, Vec<u64>, Vec<String>) {
        let mut framer = Framer::new(framing, Limits::default());
        text.as_bytes().chunks(piece).for_each(|bytes| framer.push(bytes));
        framer.finish();
        let framed = framer.take();
        let records = framed.records.iter().map(|r| String::from_utf8_lossy(r).into_owned());
        let faults = framed.faults.into_iter().map(|f| format!("{}: {}", f.line, f.message));
        (records.collect(), framed.lines, faults.collect())
    }

    #[test]
    fn a_row_of_an_export_is_an_object() {
        let text = concat!(
            "\u{feff}\"_time\",\"_raw\",host\r\n",
            "\"2026-01-01\",\"a \"\"b\"\", c\nsecond line\",h\r\n",
            "2026-01-02,plain,\r\n",
            "\"_time\",\"_raw\",host\r\n",
            "one,two\r\n",
            "_raw,_time\n",
            "m,2026-01-03",
        );
        for piece in [1, 7, 4096] {
            let (records, lines, faults) = framed(&Framing::Syslog, text, piece);
            assert_eq!(
                records,
                [
                    r#"{"_time":"2026-01-01","_raw":"a \"b\", c\nsecond line","host":"h"}"#,
                    r#"{"_time":"2026-01-02","_raw":"plain"}"#,
                    r#"{"_raw":"m","_time":"2026-01-03"}"#,
                ],
                "{piece}"
            );
            assert_eq!(lines, [2, 4, 8], "{piece}");
            assert_eq!(faults, ["6: 2 cells, 3 names in the header of the table"]);
        }
    }

    #[test]
    fn the_delimiter_that_excel_is_told() {
        for piece in [1, 4096] {
            let (records, lines, _) =
                framed(&Framing::Syslog, "sep=;\r\n_raw;host\r\nm,n;h", piece);
            assert_eq!(records, [r#"{"_raw":"m,n","host":"h"}"#]);
            assert_eq!(lines, [3]);
        }
    }

    #[test]
    fn cells_of_records_may_hold_json() {
        let json = Framing::Json(Unwrap::default());
        let text = "eventName,user.name,params,sep\nx,ann,\"{\"\"a\"\":[1]}\",\"{b\"\n";
        let (records, _, faults) = framed(&json, text, 4096);
        assert_eq!(
            records,
            [r#"{"eventName":"x","user":{"name":"ann"},"params":{"a":[1]},"sep":"{b"}"#]
        );
        assert_eq!(faults.len(), 0);
        // A line that only looks like a header takes no record away.
        let text =
            "eventName,user,params\n{\"eventName\":\"x\",\"b\":\"c,d\"}\n{\"eventName\":\"y\"}\n";
        let (records, _, faults) = framed(&json, text, 4096);
        assert_eq!(records, ["{\"eventName\":\"x\",\"b\":\"c,d\"}", "{\"eventName\":\"y\"}"]);
        assert_eq!(faults.len(), 0);
        let text = "eventName,user,params\nx,\"{type=IAMUser, username=ann}\",p\n";
        let (records, _, faults) = framed(&json, text, 4096);
        assert_eq!((records.len(), faults.len()), (0, 1));
        assert!(faults[0].contains("CAST(user AS JSON)"), "{faults:?}");
    }

    #[test]
    fn what_is_no_table() {
        let lines = |text: &str, framing: &Framing| framed(framing, text, 4096).0.len();
        let flow = "version,account-id,srcaddr\n2,1,10.0.0.1\n";
        assert_eq!(lines(flow, &Framing::Lines), 2);
        for text in
            ["message, and more\nm\n", "Jan  1 00:00:00 h sshd[7]: a,_raw\nm\n", "a,b\n1,2\n"]
        {
            assert_eq!(lines(text, &Framing::Syslog), 2, "{text}");
            assert_eq!(lines(text, &Framing::Json(Unwrap::default())), 2, "{text}");
        }
        // Its own fields, and those of a wrapper.
        let own = ["message", "timestamp", "host", "program"].map(str::to_owned).to_vec();
        let text = "timestamp,host,program,message\n1,h,sshd,m\n";
        assert_eq!(lines(text, &Framing::Syslog), 1);
        assert_eq!(lines(text, &Framing::Fields(own)), 2);
    }

    #[test]
    fn a_quote_that_is_not_closed_takes_no_more_than_a_record_may_have() {
        let mut framer =
            Framer::new(&Framing::Syslog, Limits { record_bytes: 1_000, ..Limits::default() });
        framer.push(b"_raw,host\n\"");
        (0..1_000).for_each(|_| framer.push(b"0123456789\n"));
        assert!(framer.held() < 10_000);
        framer.finish();
        let framed = framer.take();
        assert_eq!((framed.records.len(), framed.faults.len()), (0, 1));
        assert_eq!(framed.faults[0].code, DeadLetterCode::TooLarge);
    }
}

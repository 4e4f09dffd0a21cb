//! SQL as tokens, enough to hash it, to find its comments and the names of its output columns. Not
//! a parser: the one that decides what a statement means is in the SQL compiler.

use std::ops::Range;

use crate::Span;

/// Operators of more than one character, longest first.
const OPERATORS: [&str; 14] =
    ["!~~*", "!~~", "!~*", "->>", "<=>", "!~", "~~", "~*", "<=", ">=", "<>", "!=", "||", "::"];
const ARROWS: [&str; 3] = ["->", "=>", ".."];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or unquoted identifier.
    Word,
    /// A `"quoted identifier"`.
    Quoted,
    /// A `'text'`.
    Text,
    Number,
    Symbol,
}

/// A token as a range of bytes of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token<'_> {
    /// Whether this is the unquoted word, case aside.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Symbol)
            && self.text.eq_ignore_ascii_case(word)
    }
}

/// A `--` comment.
pub(crate) struct Comment<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

/// The tokens of a statement without comments and white space. Never fails: a literal that is not
/// closed runs to the end.
pub(crate) fn tokens(sql: &str) -> impl Iterator<Item = Token<'_>> {
    pieces(sql).filter_map(|(kind, range)| {
        let kind = kind?;
        let text = sql.get(range.clone())?;
        Some(Token { kind, text, start: range.start, end: range.end })
    })
}

/// The `--` comments of a statement.
pub(crate) fn line_comments(sql: &str) -> Vec<Comment<'_>> {
    let places = Places::new(sql);
    pieces(sql)
        .filter(|(kind, _)| kind.is_none())
        .filter_map(|(_, range)| Some((sql.get(range.clone())?, range)))
        .filter(|(text, _)| text.starts_with("--"))
        .map(|(text, range)| Comment { text, span: places.span(range.start, range.end) })
        .collect()
}

/// Everything but white space; `None` is a comment.
fn pieces(sql: &str) -> impl Iterator<Item = (Option<TokenKind>, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = sql.get(at..)?;
        let start = at + (rest.len() - rest.trim_start().len());
        let rest = sql.get(start..).filter(|r| !r.is_empty())?;
        let (kind, length) = piece(rest);
        at = start + length;
        Some((kind, start..at))
    })
}

fn piece(rest: &str) -> (Option<TokenKind>, usize) {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let first = rest.chars().next().unwrap_or(' ');
    if rest.starts_with("--") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, block_comment(rest));
    }
    match first {
        '\'' => (Some(TokenKind::Text), quoted(rest, '\'')),
        '"' => (Some(TokenKind::Quoted), quoted(rest, '"')),
        '0'..='9' => {
            let number = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
            (Some(TokenKind::Number), rest.find(|c| !number(c)).unwrap_or(rest.len()))
        }
        c if word(c) => (Some(TokenKind::Word), rest.find(|c| !word(c)).unwrap_or(rest.len())),
        c => {
            let operators = OPERATORS.iter().chain(&ARROWS);
            let operator = operators.copied().find(|o| rest.starts_with(o));
            (Some(TokenKind::Symbol), operator.map_or(c.len_utf8(), str::len))
        }
    }
}

/// The length of a literal whose quote is doubled to mean itself.
fn quoted(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => {
                    chars.next();
                }
                _ => return at + quote.len_utf8(),
            }
        }
    }
    rest.len()
}

/// The length of a comment; comments nest.
fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Lines and columns of byte positions.
pub(crate) struct Places<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Places { text, line_starts: std::iter::once(0).chain(after).collect() }
    }

    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let line = self.line_starts.partition_point(|s| *s <= start).max(1);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let chars = |range: Range<usize>| self.text.get(range).map_or(0, |t| t.chars().count());
        Span::new(line as u32, chars(line_start..start) as u32 + 1, chars(start..end) as u32)
    }
}

/// Columns the engine adds to every finding.
pub(crate) const ENGINE_COLUMNS: [&str; 6] =
    ["window_start", "window_end", "count", "late", "rule_version", "time"];

/// An output column of the outermost SELECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputColumn {
    pub(crate) name: String,
    pub(crate) span: Span,
}

/// The names of the columns a statement returns; `None` if they cannot be known without a plan
/// (`*`, an expression without alias, no SELECT).
pub(crate) fn output_columns(sql: &str) -> Option<Vec<OutputColumn>> {
    let places = Places::new(sql);
    let mut depth = 0i32;
    let mut items: Vec<Vec<Token<'_>>> = Vec::new();
    let mut inside = false;
    for token in tokens(sql) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        let top = depth == 0;
        if !inside {
            inside = top && token.is("select");
            if inside {
                items.push(Vec::new());
            }
            continue;
        }
        let ends = ["from", "union", "where", "group", "having", "qualify", "order", "limit", ";"];
        if top && ends.iter().any(|w| token.is(w)) {
            break;
        }
        match items.last_mut() {
            Some(_) if top && token.is(",") => items.push(Vec::new()),
            Some(item) => item.push(token),
            None => {}
        }
    }
    if let Some(first) = items.first_mut()
        && first.first().is_some_and(|t| t.is("distinct") || t.is("all"))
    {
        first.remove(0);
    }
    // A trailing comma is for the parser to refuse.
    let items: Vec<_> = items.into_iter().filter(|i| !i.is_empty()).collect();
    (!items.is_empty()).then_some(())?;
    items
        .iter()
        .map(|item| {
            let last = item.last()?;
            let before = item.len().checked_sub(2).and_then(|i| item.get(i));
            let named = match before {
                None => true,
                Some(b) => {
                    b.is("as") || b.is(".") || b.kind != TokenKind::Symbol || b.is(")") || b.is("]")
                }
            };
            let name = match last.kind {
                TokenKind::Word
                    if named && !last.is("end") && !last.is("null") && !last.is("true") =>
                {
                    last.text.to_lowercase()
                }
                TokenKind::Quoted if named => last.text.trim_matches('"').replace("\"\"", "\""),
                _ => return None,
            };
            Some(OutputColumn { name, span: places.span(last.start, last.end) })
        })
        .collect()
}

/// The statement with one space between tokens, unquoted words in lower case, no comments and no
/// final semicolon: equal for statements that differ in layout only.
pub fn normalise(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    for token in tokens(sql) {
        if !out.is_empty() {
            out.push(' ');
        }
        match token.kind {
            TokenKind::Word => out.push_str(&token.text.to_lowercase()),
            _ => out.push_str(token.text),
        }
    }
    while let Some(rest) = out.strip_suffix(';') {
        out = rest.trim_end().to_owned();
    }
    out
}

/// The version of a statement: the first 12 hex digits of BLAKE3 of [`normalise`].
pub fn version(sql: &str) -> String {
    blake3::hash(normalise(sql).as_bytes()).to_hex().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_case_and_comments_do_not_change_the_version() {
        let a = "SELECT user_name,count(*) AS n -- why\nFROM authentication /* x /* y */ */ WHERE a>=1;";
        let b = "select USER_NAME , count( * ) as n from Authentication where a >= 1";
        assert_eq!(
            normalise(a),
            "select user_name , count ( * ) as n from authentication where a >= 1"
        );
        assert_eq!(version(a), version(b));
        assert_eq!(version(a).len(), 12);
    }

    #[test]
    fn literals_and_quoted_names_are_kept_as_they_are() {
        assert_eq!(
            normalise(r#"SELECT 'It''s -- A /* B', "Col A" , x->'k'"#),
            r#"select 'It''s -- A /* B' , "Col A" , x -> 'k'"#
        );
        assert_ne!(version("SELECT 'A'"), version("SELECT 'a'"));
        assert_ne!(version("SELECT a > -1"), version("SELECT a >- 1;x"));
        assert_eq!(normalise("SELECT 'open ; \u{e9}"), "select 'open ; \u{e9}");
    }

    #[track_caller]
    fn columns(sql: &str, expect: Option<&[&str]>) {
        let got = output_columns(sql);
        let got: Option<Vec<&str>> =
            got.as_ref().map(|c| c.iter().map(|c| c.name.as_str()).collect());
        assert_eq!(got.as_deref(), expect, "{sql}");
    }

    #[test]
    fn output_columns_are_aliases_or_plain_names() {
        columns("SELECT user_name, count(*) AS n FROM a", Some(&["user_name", "n"]));
        columns(
            "SELECT a.user_name, max(time) last_time, \"X y\" FROM a",
            Some(&["user_name", "last_time", "X y"]),
        );
        columns(
            "WITH f AS (SELECT x FROM a) SELECT y, CASE WHEN z THEN 1 END AS w FROM f",
            Some(&["y", "w"]),
        );
        columns("SELECT (SELECT max(b) FROM c) AS m, w['start'] AS s FROM a", Some(&["m", "s"]));
        columns("SELECT a FROM x UNION ALL SELECT b FROM y", Some(&["a"]));
    }

    #[test]
    fn output_columns_are_unknown_without_a_plan() {
        columns("SELECT * FROM a", None);
        columns("SELECT a.* FROM a", None);
        columns("SELECT count(*) FROM a", None);
        columns("SELECT a + b FROM a", None);
        columns("SELECT CASE WHEN z THEN 1 END FROM a", None);
        columns("", None);
    }
}

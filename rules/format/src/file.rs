//! The file both rules and mappings are: one SQL statement between two comment blocks. Splits it;
//! does not read what is in the blocks, nor plan the SQL.

use std::sync::Arc;

use crate::{Diagnostic, Span, diagnostic::is_invisible, token};

/// The largest file that is read.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

const OPEN: &str = "/*---";
const CLOSE: &str = "---*/";

/// A rule or mapping file, split:
///
/// ```text
/// /*---
/// id: identity.mfa_fatigue        front matter
/// ---*/
/// SELECT ...                      one statement
/// /*--- tests
/// - name: ...                     cases
/// ---*/
/// ```
#[derive(Clone, Debug)]
pub struct SqlFile {
    /// The path as given, for messages.
    pub path: String,
    /// The text with LF line ends and without byte order mark.
    pub text: Arc<str>,
    /// The leading block.
    pub front: Option<Block>,
    /// The text with both blocks blanked, so that places in it are places in the file.
    pub sql: String,
    /// The trailing block.
    pub tests: Option<Block>,
    /// Findings that a `-- lint: allow` comment silences.
    pub allowed: Vec<Allow>,
    /// What is odd but does not keep the file from loading.
    pub warnings: Vec<Diagnostic>,
}

/// A YAML comment block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The text between the fences.
    pub yaml: String,
    /// The line in the file of the first line of `yaml`.
    pub first_line: u32,
}

/// `-- lint: allow R020 the column is never NULL here`: silences that code on its own line, or on
/// the next line of SQL if it stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// The code, `R020`.
    pub code: String,
    /// Why; never empty.
    pub reason: String,
    /// The line whose findings are silenced.
    pub line: u32,
}

impl SqlFile {
    /// Splits a file. LF and CRLF are accepted, a byte order mark is dropped with a warning.
    ///
    /// # Errors
    /// R001 for fences that are missing, doubled, unclosed or not alone on their line, R006 for a
    /// file that is too large or a block that would end the comment early; all of them at once.
    pub fn parse(path: &str, text: &str) -> Result<SqlFile, Vec<Diagnostic>> {
        if text.len() > MAX_FILE_BYTES {
            let size = format!("{} bytes; the most that is read is {MAX_FILE_BYTES}", text.len());
            return Err(vec![
                Diagnostic::error("R006", path, "the file is too large")
                    .detail(size)
                    .hint("move long value lists to a lookup and long fixtures to testdata/rules/"),
            ]);
        }
        let mut warnings = Vec::new();
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => {
                warnings.push(
                    Diagnostic::warning("R006", path, "the file starts with a byte order mark")
                        .at(Span::new(1, 1, 1))
                        .hint("save it as UTF-8 without BOM"),
                );
                rest
            }
            None => text,
        };
        let text = text.replace("\r\n", "\n");
        let mut split = Split::new(path);
        for (line, number) in text.lines().zip(1u32..) {
            split.line(number, line);
        }
        split.end();
        let Split { mut errors, front, tests, sql, .. } = split;
        for (line, number) in sql.lines().zip(1u32..) {
            if let Some(column) = line.chars().position(|c| is_invisible(c) && c != '\t') {
                warnings.push(
                    Diagnostic::warning("R006", path, "an invisible character in the SQL")
                        .at(Span::new(number, column as u32 + 1, 1))
                        .hint("it can make the statement read differently than it runs; remove it"),
                );
            }
        }
        let allowed = allows(path, &sql, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let (path, text) = (path.to_owned(), text.into());
        Ok(SqlFile { path, text, front, sql, tests, allowed, warnings })
    }

    /// Whether a comment in the file silences this finding.
    pub fn is_allowed(&self, diagnostic: &Diagnostic) -> bool {
        let line = diagnostic.span.map(|s| s.line);
        self.allowed.iter().any(|a| a.code == diagnostic.code && Some(a.line) == line)
    }

    /// Where the statement starts; the first line if there is none.
    pub fn statement(&self) -> Span {
        let first = token::tokens(&self.sql).next();
        first.map_or(Span::new(1, 1, 1), |t| token::Places::new(&self.sql).span(t.start, t.end))
    }
}

/// Where the reader of lines stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Before anything but blank lines and line comments.
    Start,
    /// In the block that opened on this line.
    Front(u32),
    Sql,
    /// In the block that opened on this line.
    Tests(u32),
    End,
}

struct Split<'a> {
    path: &'a str,
    part: Part,
    errors: Vec<Diagnostic>,
    front: Option<Block>,
    tests: Option<Block>,
    sql: String,
}

impl<'a> Split<'a> {
    fn new(path: &'a str) -> Self {
        let (errors, sql) = (Vec::new(), String::new());
        Split { path, part: Part::Start, errors, front: None, tests: None, sql }
    }

    fn line(&mut self, number: u32, line: &str) {
        let inside = matches!(self.part, Part::Front(_) | Part::Tests(_));
        let keep = if inside { self.block_line(number, line) } else { self.sql_line(number, line) };
        if keep {
            self.sql.push_str(line);
        } else {
            self.sql.extend(line.chars().map(|_| ' '));
        }
        self.sql.push('\n');
    }

    fn block_line(&mut self, number: u32, line: &str) -> bool {
        if line.trim() == CLOSE {
            self.part = match self.part {
                Part::Front(_) => Part::Sql,
                _ => Part::End,
            };
            return false;
        }
        for bad in ["/*", "*/"] {
            for (at, _) in line.match_indices(bad) {
                let column = chars_before(line, at) + 1;
                let hint = match line.trim().ends_with(CLOSE) && bad == "*/" {
                    true => "the closing fence `---*/` stands alone on its line",
                    false => {
                        "the block is an SQL comment, which this would end or nest; write the \
                              glob or pattern in another way, e.g. with `[*]`"
                    }
                };
                self.errors.push(
                    Diagnostic::error("R006", self.path, format!("`{bad}` inside a comment block"))
                        .at(Span::new(number, column, 2))
                        .hint(hint),
                );
            }
        }
        let block = match self.part {
            Part::Front(_) => &mut self.front,
            _ => &mut self.tests,
        };
        if let Some(block) = block {
            block.yaml.push_str(line);
            block.yaml.push('\n');
        }
        false
    }

    fn sql_line(&mut self, number: u32, line: &str) -> bool {
        let trimmed = line.trim();
        let place = Span::new(
            number,
            chars_before(line, line.len() - line.trim_start().len()) + 1,
            trimmed.chars().count() as u32,
        );
        let error = |primary: &str| Diagnostic::error("R001", self.path, primary).at(place);
        if trimmed == CLOSE {
            self.errors.push(error("a closing fence without an opening one").hint(
                "front matter opens with `/*---`, the tests with `/*--- tests`, alone on a line",
            ));
            return false;
        }
        if let Some(rest) = trimmed.strip_prefix(OPEN) {
            let block = Some(Block { yaml: String::new(), first_line: number + 1 });
            match (rest.trim(), self.part) {
                ("", Part::Start) => {
                    self.front = block;
                    self.part = Part::Front(number);
                }
                ("", _) => {
                    let primary = match &self.front {
                        Some(_) => "a second front matter block",
                        None => "front matter after the start of the statement",
                    };
                    self.errors.push(
                        error(primary)
                            .hint("front matter comes first; the tests open with `/*--- tests`"),
                    );
                    self.part = Part::Tests(number);
                }
                ("tests", Part::Start | Part::Sql) => {
                    self.tests = block;
                    self.part = Part::Tests(number);
                }
                ("tests", _) => {
                    self.errors.push(error("a second tests block").hint("one block, many cases"));
                    self.part = Part::Tests(number);
                }
                _ => {
                    self.errors
                        .push(error("a fence must stand alone on its line").hint(
                            "`/*---` or `/*--- tests`, the YAML on the lines below, `---*/`",
                        ));
                    if !rest.contains("*/") {
                        self.part = match self.part {
                            Part::Start => Part::Front(number),
                            _ => Part::Tests(number),
                        };
                    }
                }
            }
            return false;
        }
        if trimmed.is_empty() {
            return true;
        }
        match self.part {
            Part::End => {
                self.errors.push(
                    error("text after the tests block").hint("the tests block ends the file"),
                );
                self.part = Part::Sql;
            }
            Part::Start if !trimmed.starts_with("--") => self.part = Part::Sql,
            _ => {}
        }
        true
    }

    fn end(&mut self) {
        let (fence, opened) = match self.part {
            Part::Front(line) => (OPEN, line),
            Part::Tests(line) => ("/*--- tests", line),
            _ => return,
        };
        self.errors.push(
            Diagnostic::error("R001", self.path, format!("`{fence}` is never closed"))
                .at(Span::new(opened, 1, fence.len() as u32))
                .hint("close it with `---*/` alone on a line"),
        );
    }
}

fn allows(path: &str, sql: &str, errors: &mut Vec<Diagnostic>) -> Vec<Allow> {
    let mut allowed = Vec::new();
    let lines: Vec<&str> = sql.lines().collect();
    for comment in token::line_comments(sql) {
        let Some(rest) = comment.text.trim_start_matches('-').trim().strip_prefix("lint:") else {
            continue;
        };
        let mut words = rest.split_whitespace();
        let (verb, code) = (words.next(), words.next().unwrap_or_default());
        let reason = words.collect::<Vec<_>>().join(" ");
        let valid = code.len() == 4
            && code.starts_with('R')
            && code.bytes().skip(1).all(|b| b.is_ascii_digit());
        if verb != Some("allow") || !valid || reason.is_empty() {
            errors.push(
                Diagnostic::error("R009", path, "a `lint:` comment that is not understood")
                    .at(comment.span)
                    .hint("`-- lint: allow R020 <why it is safe>`"),
            );
            continue;
        }
        let own = comment.span.line;
        let alone = lines.get(own as usize - 1).is_some_and(|l| l.trim_start().starts_with("--"));
        let next = || {
            let below = lines.iter().zip(1u32..).skip(own as usize);
            let is_sql = |l: &str| !l.trim().is_empty() && !l.trim_start().starts_with("--");
            below.filter(|(l, _)| is_sql(l)).map(|(_, n)| n).next()
        };
        let line = if alone { next().unwrap_or(own) } else { own };
        allowed.push(Allow { code: code.to_owned(), reason, line });
    }
    allowed
}

fn chars_before(line: &str, byte: usize) -> u32 {
    line.char_indices().take_while(|(at, _)| *at < byte).count() as u32
}

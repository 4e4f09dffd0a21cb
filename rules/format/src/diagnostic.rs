//! What is wrong with a file, where, and what to do about it. One shape for every check of rule and
//! mapping files, here and in the SQL compiler. Not the checks themselves.

use serde::{Serialize, Serializer};

/// The widest piece of a source line that is shown; longer lines are cut around the caret.
const SHOWN_CHARS: usize = 100;

/// One finding about a rule or mapping file.
///
/// Serialises to `{code, level, message, detail, hint, file, span}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The number of the check, `R011`.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, one sentence without a full stop.
    #[serde(rename = "message")]
    pub primary: String,
    /// What stands at the place, or what was meant; printed beside the caret.
    pub detail: Option<String>,
    /// What to write instead.
    pub hint: Option<String>,
    /// The file.
    #[serde(rename = "file")]
    pub path: String,
    /// The place; `None` if the whole file is meant.
    pub span: Option<Span>,
}

/// How bad a diagnostic is. Errors refuse the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Loads, but probably does not do what is meant.
    Warning,
    /// The file is refused.
    Error,
}

impl Level {
    /// The word in output: `error`, `warning`, `info`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A place in a file: 1-based line and column, columns and length in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// How many characters, at least 1; may run past the end of the line.
    pub length: u32,
}

impl Span {
    /// A place of `length` characters.
    pub fn new(line: u32, column: u32, length: u32) -> Self {
        Span { line, column, length: length.max(1) }
    }
}

impl Diagnostic {
    /// An error about the whole of a file; narrow it with [`Diagnostic::at`].
    pub fn error(code: &'static str, path: &str, primary: impl Into<String>) -> Self {
        Self::new(code, Level::Error, path, primary)
    }

    /// A warning about the whole of a file.
    pub fn warning(code: &'static str, path: &str, primary: impl Into<String>) -> Self {
        Self::new(code, Level::Warning, path, primary)
    }

    /// A remark about the whole of a file.
    pub fn info(code: &'static str, path: &str, primary: impl Into<String>) -> Self {
        Self::new(code, Level::Info, path, primary)
    }

    fn new(code: &'static str, level: Level, path: &str, primary: impl Into<String>) -> Self {
        let (path, primary) = (path.to_owned(), primary.into());
        Diagnostic { code, level, primary, detail: None, hint: None, path, span: None }
    }

    /// Sets the place.
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
        self
    }

    /// Sets what is printed beside the caret.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets the help line.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints `did you mean ..` beside the caret if a candidate is near enough to `word`.
    pub fn did_you_mean<'a>(
        mut self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        if let Some(near) = crate::suggest(word, candidates) {
            self.detail = Some(format!("did you mean `{near}`?"));
        }
        self
    }

    /// Whether the file is refused.
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }

    /// The diagnostic as text for a terminal, ending in a newline:
    ///
    /// ```text
    /// error[R011]: no column `user_nam` in `authentication`
    ///   --> rules/identity/mfa_fatigue.sql:16:8
    /// 16 | SELECT user_nam,
    ///    |        ^^^^^^^^ did you mean `user_name`?
    ///    = help: `sluice schema authentication` lists all
    /// ```
    ///
    /// `source_text` is the file as it was read. Control characters, escape sequences and
    /// characters that change the direction of text are shown escaped.
    pub fn render(&self, source_text: Option<&str>) -> String {
        let mut out = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| {
            out.push_str(&text.to_string());
            out.push('\n');
        };
        line(format_args!("{}[{}]: {}", self.level.name(), self.code, visible(&self.primary)));
        let path = visible(&self.path);
        let mut margin = 2;
        let mut detail = self.detail.as_deref().map(visible);
        match self.span {
            None => line(format_args!("  --> {path}")),
            Some(span) => {
                line(format_args!("  --> {path}:{}:{}", span.line, span.column));
                let source = source_text.and_then(|t| t.lines().nth(span.line as usize - 1));
                margin = span.line.to_string().len();
                if let Some(source) = source {
                    let excerpt = Excerpt::new(source, span);
                    line(format_args!("{} | {}", span.line, excerpt.text));
                    let (left, carets) = (" ".repeat(excerpt.before), "^".repeat(excerpt.width));
                    let beside = detail.take().map(|d| format!(" {d}")).unwrap_or_default();
                    line(format_args!("{:margin$} | {left}{carets}{beside}", ""));
                }
            }
        }
        if let Some(detail) = detail {
            line(format_args!("{:margin$} = note: {detail}", ""));
        }
        if let Some(hint) = &self.hint {
            for (i, hint) in hint.lines().enumerate() {
                let label = if i == 0 { "= help:" } else { "       " };
                line(format_args!("{:margin$} {label} {}", "", visible(hint)));
            }
        }
        out
    }
}

/// Renders diagnostics one below the other, in the order of their places, errors of one place
/// first; `source` gives the text of a file.
pub fn render_all<'a>(
    diagnostics: &[Diagnostic],
    source: impl Fn(&str) -> Option<&'a str>,
) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|d| (&d.path, d.span, std::cmp::Reverse(d.level), d.code));
    sorted.iter().map(|d| d.render(source(&d.path))).collect()
}

/// Text with every character escaped that would act on a terminal instead of being seen:
/// controls, escape sequences, direction marks, zero-width characters. Tabs become one space.
pub fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        push_visible(&mut out, c);
        out
    })
}

fn push_visible(out: &mut String, c: char) -> usize {
    match c {
        '\t' => out.push(' '),
        c if is_invisible(c) => {
            let escaped = c.escape_unicode();
            out.extend(escaped.clone());
            return escaped.count();
        }
        c => out.push(c),
    }
    1
}

/// Controls and the format characters that hide or reorder text.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The shown piece of a source line and where the carets stand in it.
struct Excerpt {
    text: String,
    before: usize,
    width: usize,
}

impl Excerpt {
    fn new(source: &str, span: Span) -> Self {
        let chars: Vec<char> = source.trim_end_matches('\u{feff}').chars().collect();
        let start = (span.column as usize - 1).min(chars.len());
        let end = (start + span.length as usize).min(chars.len()).max(start);
        // Keep the caret a third into the window, and the window inside the line.
        let (mut from, mut to) = (0, chars.len());
        if chars.len() > SHOWN_CHARS {
            from = start.saturating_sub(SHOWN_CHARS / 3).min(chars.len() - SHOWN_CHARS);
            to = from + SHOWN_CHARS;
        }
        let mut text = String::new();
        let mut at = 0;
        if from > 0 {
            text.push('…');
            at += 1;
        }
        let (mut before, mut width) = (at, 0);
        for (i, &c) in chars.iter().enumerate().take(to).skip(from) {
            let shown = push_visible(&mut text, c);
            if i < start {
                before += shown;
            } else if i < end {
                width += shown;
            }
        }
        if to < chars.len() {
            text.push('…');
        }
        Excerpt { text: text.trim_end().to_owned(), before, width: width.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(diagnostic: &Diagnostic, source: &str, expect: &str) {
        assert_eq!(diagnostic.render(Some(source)), expect);
    }

    #[test]
    fn caret_detail_and_help() {
        let d = Diagnostic::error("R015", "r.sql", "this rule would keep state for ever")
            .at(Span::new(2, 1, 15))
            .detail("groups of `authentication` never close without a window")
            .hint("GROUP BY src_ip, sliding(time, INTERVAL '10 minutes')");
        check(
            &d,
            "SELECT 1\nGROUP BY src_ip\n",
            "\
error[R015]: this rule would keep state for ever
  --> r.sql:2:1
2 | GROUP BY src_ip
  | ^^^^^^^^^^^^^^^ groups of `authentication` never close without a window
  = help: GROUP BY src_ip, sliding(time, INTERVAL '10 minutes')
",
        );
    }

    #[test]
    fn terminal_escapes_and_direction_marks_are_shown_not_sent() {
        let d = Diagnostic::warning("R006", "a\u{1b}[2J.sql", "a\rb").at(Span::new(1, 6, 2));
        check(
            &d,
            "ab\t\u{202e}cde",
            "\
warning[R006]: a\\u{d}b
  --> a\\u{1b}[2J.sql:1:6
1 | ab \\u{202e}cde
  |             ^^
",
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let source = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text =
            Diagnostic::error("R011", "r.sql", "x").at(Span::new(1, 501, 1)).render(Some(&source));
        let lines: Vec<&str> = text.lines().collect();
        let caret = lines[3].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[2].chars().nth(caret), Some('X'));
        assert_eq!(lines[2].chars().count(), 4 + SHOWN_CHARS + 2);
    }

    #[test]
    fn a_place_past_the_end_of_the_line_or_file_does_not_panic() {
        let d = Diagnostic::error("R001", "r.sql", "x").at(Span::new(1, 90, 5));
        check(&d, "ab", "error[R001]: x\n  --> r.sql:1:90\n1 | ab\n  |   ^\n");
        let d = Diagnostic::error("R001", "r.sql", "x").at(Span::new(9, 1, 5)).detail("d");
        check(&d, "ab", "error[R001]: x\n  --> r.sql:9:1\n  = note: d\n");
    }

    #[test]
    fn json_has_the_names_of_the_output_format() {
        let d = Diagnostic::error("R002", "r.sql", "x").at(Span::new(1, 2, 3));
        assert_eq!(
            serde_json::to_string(&d).unwrap(),
            r#"{"code":"R002","level":"error","message":"x","detail":null,"hint":null,"file":"r.sql","span":{"line":1,"column":2,"length":3}}"#
        );
    }
}

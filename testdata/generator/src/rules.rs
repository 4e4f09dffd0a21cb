//! A large rule set out of a small one, for measuring: copies of rules that look for other values. Not
//! rules anybody should run.
//!
//! A copy differs in the text literals of its WHERE that a column is compared with for equality, in a
//! LIKE or as a needle. Literals of a negation stay (another value would match almost every row), and so
//! do `source` and those of columns with closed values, which a rule may not make up and all rules of a
//! real set share. A rule with no other literal looks for an `event_code` that nothing has.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const TESTS: &str = "/*--- tests";
/// Columns whose values rules of one source have in common.
const SHARED: [&str; 8] =
    ["source", "action", "activity", "change", "direction", "failure_reason", "severity", "status"];
/// Functions whose literals are needles.
const NEEDLES: [&str; 5] = ["icontains", "istarts", "iends", "ieq", "sigma_like"];

/// Writes the rules below `from` to `to` without their tests, and copies of them in turn until there are
/// `total`; says how many there are.
///
/// # Errors
/// If a folder cannot be read or written.
pub fn multiply(from: &Path, to: &Path, total: usize) -> io::Result<usize> {
    let mut files = Vec::new();
    sql_files(from, &mut files)?;
    let mut texts = Vec::with_capacity(files.len());
    for path in files {
        let text = fs::read_to_string(&path)?;
        texts.push((path.strip_prefix(from).unwrap_or(&path).to_owned(), text));
    }
    let once = texts.iter().map(|rule| (rule, 0));
    // What rules over findings look for is what other rules found.
    let of_events = || texts.iter().filter(|(_, text)| !text.contains("FROM findings"));
    let again = (1..).flat_map(|copy| of_events().map(move |rule| (rule, copy)));
    let more = total.saturating_sub(texts.len());
    let more = if of_events().next().is_some() { more } else { 0 };
    let mut written = 0;
    for ((path, text), copy) in once.chain(again.take(more)) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = if copy == 0 { format!("{stem}.sql") } else { format!("{stem}_{copy}.sql") };
        let target = to.join(path).with_file_name(name);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(target, copy_of(text, copy))?;
        written += 1;
    }
    Ok(written)
}

fn sql_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sql_files(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "sql") {
            found.push(path);
        }
    }
    Ok(())
}

/// The rule without tests; but for copy 0 with an id and literals of its own.
fn copy_of(text: &str, copy: usize) -> String {
    let rule = text.split(TESTS).next().unwrap_or(text);
    if copy == 0 {
        return rule.to_owned();
    }
    let (front, sql) = rule.split_once("---*/").unwrap_or(("", rule));
    let mut out = String::with_capacity(rule.len() + 64);
    for line in front.lines() {
        out.push_str(line.trim_end());
        if line.starts_with("id:") {
            out.push_str(&format!("_{copy}"));
        }
        out.push('\n');
    }
    out.push_str("---*/");
    let tokens = tokens(sql);
    let kinds = kinds(&tokens);
    let others = kinds.contains(&Literal::Own);
    for (token, kind) in tokens.iter().zip(kinds) {
        match kind {
            Literal::Own => out.push_str(&changed(token, copy)),
            Literal::No => out.push_str(token),
        }
        if !others && token.eq_ignore_ascii_case("where") {
            out.push_str(&format!(" event_code = 'none~{copy}' AND"));
        }
    }
    out
}

/// `'x%'` to `'x~7%'`.
fn changed(literal: &str, copy: usize) -> String {
    let inside = literal.trim_end_matches('\'');
    let quotes = literal.strip_prefix(inside).unwrap_or("'");
    let body = inside.trim_end_matches(['%', '*']);
    let wild = inside.strip_prefix(body).unwrap_or("");
    format!("{body}~{copy}{wild}{quotes}")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Own,
    No,
}

/// Which tokens are literals to change.
fn kinds(tokens: &[&str]) -> Vec<Literal> {
    let mut kinds = Vec::with_capacity(tokens.len());
    let mut inside = false;
    // The words since the last literal's group began: column, operator.
    let mut words: Vec<String> = Vec::new();
    for token in tokens {
        let lower = token.to_ascii_lowercase();
        match lower.as_str() {
            "where" => inside = true,
            "group" | "having" | "order" | "union" => inside = false,
            _ => {}
        }
        let mut kind = Literal::No;
        if token.starts_with('\'') {
            let last = |n: usize| words.len().checked_sub(n).map_or("", |i| words[i].as_str());
            let negated = last(2) == "not" || last(3) == "not";
            let compared = matches!(last(1), "=" | "like" | "ilike")
                || (last(1) == "(" && last(2) == "in" && last(3) != "not");
            let needle = words.iter().rev().any(|w| NEEDLES.contains(&w.as_str()));
            if inside && !negated && (compared || needle) {
                let column = if last(1) == "(" { last(3) } else { last(2) };
                if !SHARED.contains(&column) {
                    kind = Literal::Own;
                }
            }
        } else if matches!(lower.as_str(), "and" | "or" | "where" | "when" | "then" | "else" | ")")
        {
            words.clear();
        } else if !token.starts_with("--") && !token.trim().is_empty() && *token != "," {
            words.push(lower);
        }
        kinds.push(kind);
    }
    kinds
}

/// Words, quoted texts, comments, spaces and single signs, in order; together they are the text.
fn tokens(sql: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let length = if first == '\'' {
            quoted(rest)
        } else if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else if first.is_whitespace() {
            rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len())
        } else if rest.starts_with("<>") || rest.starts_with("!=") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after;
    }
    tokens
}

/// The length of a quoted text; two quotes in it stand for one.
fn quoted(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\'' && bytes.next_if(|(_, b)| *b == b'\'').is_none() {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_looks_for_other_values() {
        let rule = "/*---\nid: a.b\n---*/\nSELECT concat('x', c) AS t FROM t\n\
            WHERE status = 'Success' -- it's\n AND (a LIKE 'Get%' OR b IN ('x', 'y''z'))\n\
            AND d <> 'e' AND f NOT IN ('g') AND icontains(\"H\", 'i', 'j')\n\
            AND json_get_str(u, 'k') = 'l'\nGROUP BY a HAVING a = 'm'\n/*--- tests\n- {}\n---*/\n";
        let copy = copy_of(rule, 7);
        let expect = "/*---\nid: a.b_7\n---*/\nSELECT concat('x', c) AS t FROM t\n\
            WHERE status = 'Success' -- it's\n AND (a LIKE 'Get~7%' OR b IN ('x~7', 'y''z~7'))\n\
            AND d <> 'e' AND f NOT IN ('g') AND icontains(\"H\", 'i~7', 'j~7')\n\
            AND json_get_str(u, 'k') = 'l~7'\nGROUP BY a HAVING a = 'm'\n";
        assert_eq!(copy, expect);
        assert!(copy_of(rule, 0).ends_with("a = 'm'\n"));
        let beside = "WHERE a = 'x' AND (status = 'Success' OR b = 'y')";
        let copied = "---*/WHERE a = 'x~3' AND (status = 'Success' OR b = 'y~3')";
        assert_eq!(copy_of(beside, 3), copied);
        let only_shared = "WHERE status = 'Success'";
        assert_eq!(
            copy_of(only_shared, 3),
            "---*/WHERE event_code = 'none~3' AND status = 'Success'"
        );
    }
}

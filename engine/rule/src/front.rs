//! What the front matter of rules and mappings has in common: the block itself, ids, provenance.

use std::fmt;

use crate::{
    Diagnostic, Span, SqlFile,
    fields::{Fields, Reader},
    suggest,
    yaml::{self, Entry},
};

/// The id of a rule or mapping: its path below the content directory with dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(String);

impl RuleId {
    /// An id, if the text is one: words of `a-z`, `0-9`, `_` joined by dots.
    pub fn new(text: &str) -> Option<RuleId> {
        let word = |w: &str| {
            !w.is_empty()
                && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        text.split('.').all(word).then(|| RuleId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where content comes from; text for people, not read by the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was written.
    pub date: Option<String>,
    /// When it was last changed.
    pub modified: Option<String>,
    /// Under which licence it may be used.
    pub license: Option<String>,
    /// Free words.
    pub tags: Vec<String>,
}

impl About {
    pub(crate) const KEYS: [&'static str; 5] = ["author", "date", "modified", "license", "tags"];

    pub(crate) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> About {
        let mut text = |key| fields.get(key).and_then(|node| reader.text(node, key));
        About {
            author: text("author"),
            date: text("date"),
            modified: text("modified"),
            license: text("license"),
            tags: words(reader, fields, "tags"),
        }
    }
}

/// The texts of a list, or of a single text.
pub(crate) fn words(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Vec<String> {
    let node = fields.get(key);
    node.map(|n| reader.texts(n, key).into_iter().map(|(t, _)| t).collect()).unwrap_or_default()
}

/// The entries of the front matter, or R001.
pub(crate) fn entries(reader: &mut Reader<'_>, file: &SqlFile) -> Option<Vec<Entry>> {
    let Some(block) = &file.front else {
        reader.push(
            Diagnostic::error("R001", reader.path, "the file has no front matter")
                .at(Span::new(1, 1, 1))
                .hint(
                    "start with `/*---`, `id:`, `title:` and more on lines of their own, `---*/`",
                ),
        );
        return None;
    };
    match yaml::parse(reader.path, block) {
        Ok(yaml::Node { value: yaml::Yaml::Map(entries), .. }) => Some(entries),
        Ok(yaml::Node { value: yaml::Yaml::Null, .. }) => Some(Vec::new()),
        Ok(node) => {
            reader.map(&node, "front matter");
            None
        }
        Err(diagnostic) => {
            reader.push(diagnostic);
            None
        }
    }
}

/// Reads `id` and holds it against the path: R004 if they differ.
pub(crate) fn id(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    place: Span,
    root: &str,
) -> Option<RuleId> {
    let expected = expected_ids(reader.path, root);
    // The two last parts of the path: the directories above are rarely meant.
    let shown = expected.get(expected.len().saturating_sub(2)).cloned();
    let shown = shown.unwrap_or_else(|| "identity.mfa_fatigue".to_owned());
    let node = reader.require(fields, "id", place, &format!("id: {shown}"))?;
    let text = reader.text(node, "id")?;
    let Some(id) = RuleId::new(&text) else {
        let primary = format!("`{text}` is not an id");
        reader.push(
            Diagnostic::error("R004", reader.path, primary)
                .at(node.span)
                .hint("lower-case letters, digits and `_`, words joined by dots, as in the path"),
        );
        return None;
    };
    if !expected.is_empty() && !expected.contains(&text) {
        let mut diagnostic =
            Diagnostic::error("R004", reader.path, "the id is not the path of the file")
                .at(node.span)
                .hint(format!("id: {shown}, or move the file to {}.sql", text.replace('.', "/")));
        if let Some(near) = suggest(&text, expected.iter().map(String::as_str)) {
            diagnostic = diagnostic.detail(format!("did you mean `{near}`?"));
        }
        reader.push(diagnostic);
    }
    Some(id)
}

/// The ids a file of this path may have: the path below the last directory called `root`; without
/// such a directory any tail of the path. Longest first; none if the path is no `.sql` file.
fn expected_ids(path: &str, root: &str) -> Vec<String> {
    let path = path.replace('\\', "/");
    let Some(stem) = path.strip_suffix(".sql") else { return Vec::new() };
    let parts: Vec<&str> = stem.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if let Some(at) = parts.iter().rposition(|p| *p == root) {
        return parts.get(at + 1..).map(|rest| vec![rest.join(".")]).unwrap_or_default();
    }
    (0..parts.len())
        .filter_map(|from| parts.get(from..))
        .map(|tail| tail.join("."))
        .filter(|id| RuleId::new(id).is_some())
        .collect()
}

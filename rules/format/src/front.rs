//! What the front matter of rules and mappings has in common: the block itself, ids, provenance.

use std::fmt;

use crate::{
    Block, Diagnostic, Span, SqlFile,
    fields::{Fields, Reader},
    token,
    yaml::{self, Entry, Node, Yaml},
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
    let node = read_block(reader, block)?;
    match node.value {
        Yaml::Map(entries) => Some(entries),
        Yaml::Null => Some(Vec::new()),
        _ => {
            reader.map(&node, "front matter");
            None
        }
    }
}

/// What a block holds; what is wrong with it as YAML goes to the reader.
pub(crate) fn read_block(reader: &mut Reader<'_>, block: &Block) -> Option<Node> {
    match yaml::parse(reader.path, block) {
        Ok((node, twice)) => {
            reader.found.extend(twice);
            Some(node)
        }
        Err(diagnostic) => {
            reader.push(diagnostic);
            None
        }
    }
}

/// Reads `id` and holds it against the path below the content directory: R004 if they differ.
pub(crate) fn id(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    place: Span,
    below: &str,
) -> Option<RuleId> {
    let expected = below.replace('\\', "/").strip_suffix(".sql").map(|stem| stem.replace('/', "."));
    let shown = expected.as_deref().unwrap_or("identity.mfa_fatigue");
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
    if is_reserved(&text) {
        reader.push(reserved(reader.path, &text).at(node.span));
        return None;
    }
    // A file or a subfolder may be named alone: then the whole path ends as the id says.
    let place = format!("{}.sql", text.replace('.', "/"));
    let whole = reader.path.replace('\\', "/");
    let ends =
        whole.strip_suffix(&place).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    if let Some(expected) = expected.filter(|e| *e != text && !ends) {
        reader.later.push(
            Diagnostic::error("R004", reader.path, "the id is not the path of the file")
                .at(node.span)
                .detail(format!("the path gives `{expected}`"))
                .hint(format!("`id: {expected}`, or the file at <rules folder>/{place}")),
        );
    }
    Some(id)
}

/// Whether an id is one of those under which the service speaks of itself.
pub(crate) fn is_reserved(id: &str) -> bool {
    id == "sluice" || id.starts_with("sluice.")
}

/// R004 for such an id.
pub(crate) fn reserved(path: &str, id: &str) -> Diagnostic {
    Diagnostic::error("R004", path, format!("`{id}` is an id of the service itself")).hint(
        "another folder: ids that begin with `sluice.` are for what the service says of itself",
    )
}

/// Where a missing key is reported: the opening fence.
pub(crate) fn place(file: &SqlFile) -> Span {
    Span::new(file.front.as_ref().map_or(1, |b| b.first_line.saturating_sub(1)), 1, 5)
}

/// R001 if the file has no statement.
pub(crate) fn statement(reader: &mut Reader<'_>, file: &SqlFile) {
    if token::tokens(&file.sql).next().is_none() {
        reader.push(
            Diagnostic::error("R001", reader.path, "the file has no SELECT")
                .hint("one SELECT between the front matter and the tests"),
        );
    }
}

//! Reads the keys of a YAML map into typed values, collecting what is wrong with each instead of
//! stopping at the first. Does not know which keys exist: the readers of the files do.

use crate::{
    Diagnostic, Span, SqlFile, parse_duration, suggest,
    yaml::{Entry, Node, Yaml},
};

/// What is wrong with a file so far.
pub(crate) struct Reader<'a> {
    pub(crate) path: &'a str,
    pub(crate) found: Vec<Diagnostic>,
    /// Errors that keep the file from being loaded but not from being looked at further.
    pub(crate) later: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: &'a str) -> Self {
        Reader { path, found: Vec::new(), later: Vec::new() }
    }

    /// The value with what is worth saying about it, or all errors in the order of places. What a
    /// `-- lint: allow` comment silences is left out. An error beside the value refuses it all the same.
    pub(crate) fn finish<T>(
        mut self,
        file: &SqlFile,
        value: Option<T>,
    ) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>> {
        self.found.retain(|d| d.is_error() || !file.is_allowed(d));
        self.found.sort_by_key(|d| (d.span, d.code));
        // A merge key repeats what it merges, with the place where that is written.
        self.found.dedup();
        let read = !self.found.iter().any(Diagnostic::is_error);
        self.found.append(&mut self.later);
        self.found.sort_by_key(|d| (d.span, d.code));
        match value {
            Some(value) if read => Ok((value, self.found)),
            _ => Err(self.found),
        }
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// R009: a value that is not what its key takes.
    pub(crate) fn bad(&mut self, span: Span, primary: impl Into<String>, hint: impl Into<String>) {
        self.push(Diagnostic::error("R009", self.path, primary).at(span).hint(hint));
    }

    fn wrong_kind(&mut self, node: &Node, key: &str, wanted: &str) {
        let primary = format!("`{key}` takes {wanted}, not {}", node.kind());
        self.push(Diagnostic::error("R009", self.path, primary).at(node.span));
    }

    /// The entries of a map; no entries for an empty block.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Yaml::Map(entries) => Some(entries),
            _ => {
                self.wrong_kind(node, key, "a map");
                None
            }
        }
    }

    pub(crate) fn list<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n [Node]> {
        match &node.value {
            Yaml::List(items) => Some(items),
            _ => {
                self.wrong_kind(node, key, "a list");
                None
            }
        }
    }

    /// Checks the keys of a map: R002 for unknown ones.
    pub(crate) fn keys<'n>(
        &mut self,
        entries: &'n [Entry],
        what: &str,
        known: &[&str],
    ) -> Fields<'n> {
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                let primary = format!("unknown key `{}` in {what}", entry.key);
                let unknown = Diagnostic::error("R002", self.path, primary)
                    .at(entry.span)
                    .did_you_mean(&entry.key, known.iter().copied());
                // The whole list helps only who is not sent to one of them.
                self.push(match unknown.detail {
                    Some(_) => unknown,
                    None => unknown.hint(format!("known keys: {}", known.join(", "))),
                });
            }
        }
        Fields { entries }
    }

    /// Any scalar but a boolean as text.
    pub(crate) fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        match &node.value {
            Yaml::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Yaml::Number(number) => Some(number.to_string()),
            Yaml::Text(_) | Yaml::Null => {
                self.push(
                    Diagnostic::error("R009", self.path, format!("`{key}` is empty")).at(node.span),
                );
                None
            }
            Yaml::Map(_) => {
                let hint = "text with `: ` in it needs quotes";
                self.bad(node.span, format!("`{key}` takes text, not a map"), hint);
                None
            }
            _ => {
                self.wrong_kind(node, key, "text");
                None
            }
        }
    }

    /// A list of texts; one text is a list of one.
    pub(crate) fn texts(&mut self, node: &Node, key: &str) -> Vec<(String, Span)> {
        let items = match &node.value {
            Yaml::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| Some((self.text(item, key)?, item.span))).collect()
    }

    pub(crate) fn boolean(&mut self, node: &Node, key: &str) -> Option<bool> {
        match node.value {
            Yaml::Bool(value) => Some(value),
            _ => {
                self.wrong_kind(node, key, "`true` or `false`");
                None
            }
        }
    }

    pub(crate) fn integer(&mut self, node: &Node, key: &str) -> Option<i64> {
        match &node.value {
            Yaml::Number(number) if number.is_i64() => number.as_i64(),
            _ => {
                self.wrong_kind(node, key, "a whole number");
                None
            }
        }
    }

    /// A duration in milliseconds.
    pub(crate) fn duration(&mut self, node: &Node, key: &str) -> Option<i64> {
        let text = self.text(node, key)?;
        let value = parse_duration(&text);
        if value.is_none() {
            self.bad(
                node.span,
                format!("`{text}` is not a duration"),
                "a whole number with a unit of ms, s, m, h, d or w: `10m`, `1h30m`",
            );
        }
        value
    }

    /// One of a set of words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        node: &Node,
        key: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(node, key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let mut diagnostic =
            Diagnostic::error("R009", self.path, format!("`{text}` is not a value of `{key}`"))
                .at(node.span)
                .hint(format!("one of {}", names.join(", ")));
        if let Some(near) = suggest(&text, names) {
            diagnostic = diagnostic.detail(format!("did you mean `{near}`?"));
        }
        self.push(diagnostic);
        None
    }

    /// R003 if a key is missing.
    pub(crate) fn require<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &str,
        place: Span,
        hint: &str,
    ) -> Option<&'n Node> {
        let node = fields.get(key);
        if node.is_none() {
            self.push(
                Diagnostic::error("R003", self.path, format!("`{key}` is missing"))
                    .at(place)
                    .hint(hint),
            );
        }
        node
    }
}

/// The entries of a map whose keys were checked.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// Where a key stands.
    pub(crate) fn place(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|e| e.key == key).map(|e| e.span)
    }
}

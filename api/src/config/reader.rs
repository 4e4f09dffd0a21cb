//! From the merged tree to typed settings: every key is read once, noted with the layer that gave
//! it, and whatever is left over is unknown. Not the settings themselves (see [`super::settings`]).

use serde_json::{Map, Value as Json, json};
use sluice_rule::Diagnostic;

use super::{
    secret,
    tree::{Origin, Raw, SettingEntry, SettingNode, Table},
};

/// A problem of the configuration, with the text of its file, secrets masked.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// What is wrong, where, and how to mend it.
    pub(crate) diagnostic: Diagnostic,
    /// The file's text.
    pub(crate) text: Option<String>,
}

impl Problem {
    /// Sets the place of a diagnostic, and hides secrets among the values that it quotes.
    pub(crate) fn at(mut diagnostic: Diagnostic, origin: Option<&Origin>) -> Problem {
        diagnostic.primary = secret::masked_message(&diagnostic.primary);
        for text in [&mut diagnostic.detail, &mut diagnostic.hint].into_iter().flatten() {
            *text = secret::masked_message(text);
        }
        match origin {
            None => Problem { diagnostic, text: None },
            Some(origin) => {
                let mut diagnostic = diagnostic.at(origin.span());
                diagnostic.path = origin.name();
                Problem { diagnostic, text: origin.text() }
            }
        }
    }
}

/// A setting as it takes effect.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    /// Its path, `api.listen`.
    pub(crate) path: String,
    /// Its value; null if it is not set.
    pub(crate) value: Json,
    /// Who gave it; `None` for the default.
    pub(crate) origin: Option<Origin>,
}

impl Effective {
    /// Its value as it may be shown: references to secrets are, what looks like a secret is not.
    pub(crate) fn shown(&self) -> Json {
        fn hidden(name: &str, value: &Json) -> Json {
            match value {
                Json::String(text) if secret::is_written_out(name, text) => secret::MASK.into(),
                Json::Array(list) => list.iter().map(|value| hidden(name, value)).collect(),
                other => other.clone(),
            }
        }
        // Only options have names of others; ours that hold secrets take references alone.
        hidden("", &self.value)
    }
}

/// What reading notes down.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) problems: Vec<Problem>,
    pub(crate) effective: Vec<Effective>,
}

impl Notes {
    /// Adds a problem with a setting at the place it was given.
    pub(crate) fn blame(&mut self, path: &str, diagnostic: Diagnostic) {
        let origin = self.effective.iter().find(|e| e.path == path).and_then(|e| e.origin.as_ref());
        let mut problem = Problem::at(diagnostic, origin);
        if origin.is_none() {
            problem.diagnostic.path = format!("{path} (default)");
        }
        self.problems.push(problem);
    }
}

/// Why a value cannot be taken.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// What is wrong with it.
    pub(crate) primary: String,
    /// What to write.
    pub(crate) hint: String,
}

impl Wrong {
    pub(crate) fn new(primary: impl Into<String>, hint: impl Into<String>) -> Wrong {
        Wrong { primary: primary.into(), hint: hint.into() }
    }
}

/// A value of one key.
pub(crate) trait Value: Sized {
    /// The value of what was written; the error says what is expected.
    fn parse(raw: &Raw) -> Result<Self, Wrong>;
    /// When nothing is written: `text` is the default of the setting, as it would be written.
    fn default(text: &str) -> Self;
    /// How it is shown.
    fn shown(&self) -> Json;
    /// Its JSON Schema.
    fn schema() -> Json;
}

/// What stands behind a key: a value, a table, a table of tables.
pub(crate) trait Setting: Sized {
    /// Reads it.
    fn read(reader: &mut Reader<'_>, key: &'static str, default: &'static str) -> Self;
    /// Its JSON Schema.
    fn schema() -> Json;
}

/// A table with fixed keys.
pub(crate) trait Section: Sized {
    /// What it is about.
    const ABOUT: &'static str;
    /// Its keys.
    fn fields() -> Vec<Field>;
    /// Reads it from the table the reader is at.
    fn section(reader: &mut Reader<'_>) -> Self;
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Field {
    /// The key.
    pub(crate) key: &'static str,
    /// What it does, with its consequence in numbers.
    pub(crate) doc: &'static str,
    /// Its JSON Schema.
    pub(crate) schema: Json,
    /// The default as it would be written; empty if there is none.
    pub(crate) default: &'static str,
}

/// Reads one table.
pub(crate) struct Reader<'t> {
    /// The path of the table; empty for the root.
    path: String,
    table: Option<&'t Table>,
    /// Where the table was begun, to say what is missing in it.
    begun: Option<&'t Origin>,
    /// An unknown key whose problem is reported already.
    pub(crate) said: Option<&'static str>,
    pub(crate) notes: &'t mut Notes,
}

impl<'t> Reader<'t> {
    /// Reads the root.
    pub(crate) fn root(table: &'t Table, notes: &'t mut Notes) -> Reader<'t> {
        Reader { path: String::new(), table: Some(table), begun: None, said: None, notes }
    }

    /// The path of a key of this table.
    pub(crate) fn path(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let quoted = if key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { quoted } else { format!("{}.{quoted}", self.path) }
    }

    /// A key of this table.
    pub(crate) fn entry(&self, key: &str) -> Option<&'t SettingEntry> {
        self.table?.get(key)
    }

    /// The keys of this table.
    pub(crate) fn keys(&self) -> Vec<&'t str> {
        self.table.map_or_else(Vec::new, |t| t.keys().map(String::as_str).collect())
    }

    /// A reader of a table below this one.
    pub(crate) fn below(&mut self, key: &str) -> Reader<'_> {
        let path = self.path(key);
        let entry = self.entry(key);
        let (table, begun) = match entry.map(|e| (&e.node, &e.key)) {
            Some((SettingNode::Table(table), key)) => (Some(table), Some(key)),
            Some((SettingNode::Leaf(_, at), _)) => {
                let problem = Diagnostic::error("C003", "", format!("`{path}` is a table"))
                    .hint(format!("[{path}] with its keys below"));
                self.notes.problems.push(Problem::at(problem, Some(at)));
                (None, None)
            }
            None => (None, None),
        };
        Reader { path, table, begun, said: None, notes: self.notes }
    }

    /// Reads a value, or takes its default.
    pub(crate) fn value<T: Value>(&mut self, key: &str, default: &str) -> T {
        let path = self.path(key);
        let (value, origin) = match self.entry(key).map(|e| &e.node) {
            None => (T::default(default), None),
            Some(SettingNode::Table(_)) => {
                let at = self.entry(key).map(|e| &e.key);
                let problem = Diagnostic::error("C003", "", format!("`{path}` is not a table"))
                    .hint(format!("{key} = .."));
                self.notes.problems.push(Problem::at(problem, at));
                (T::default(default), None)
            }
            Some(SettingNode::Leaf(raw, at)) => match T::parse(raw) {
                Ok(value) => (value, Some(at.clone())),
                Err(wrong) => {
                    let problem =
                        Diagnostic::error("C003", "", format!("`{path}`: {}", wrong.primary))
                            .hint(wrong.hint);
                    self.notes.problems.push(Problem::at(problem, Some(at)));
                    (T::default(default), None)
                }
            },
        };
        self.notes.effective.push(Effective { path, value: value.shown(), origin });
        value
    }

    /// Says that something is missing in this table.
    pub(crate) fn missing(&mut self, primary: String, hint: &str) {
        let problem = Diagnostic::error("C004", "configuration", primary).hint(hint);
        self.notes.problems.push(Problem::at(problem, self.begun));
    }

    /// Every key that is none of these is unknown.
    pub(crate) fn only(&mut self, known: &[&str]) {
        for key in self.keys() {
            if known.contains(&key) || self.said == Some(key) {
                continue;
            }
            let path = self.path(key);
            let at = self.entry(key).map(|e| &e.key);
            let problem = Diagnostic::error("C002", "", format!("there is no setting `{path}`"))
                .did_you_mean(key, known.iter().copied())
                .hint(format!("there are: {}", known.join(", ")));
            self.notes.problems.push(Problem::at(problem, at));
        }
    }
}

impl<T: Value> Setting for T {
    fn read(reader: &mut Reader<'_>, key: &'static str, default: &'static str) -> Self {
        reader.value(key, default)
    }

    fn schema() -> Json {
        <T as Value>::schema()
    }
}

/// The JSON Schema of a section.
pub(crate) fn object_schema<S: Section>() -> Json {
    let properties: Map<String, Json> = S::fields()
        .into_iter()
        .map(|field| {
            let mut schema = field.schema;
            if let Some(object) = schema.as_object_mut() {
                object.insert("description".into(), unfolded(field.doc).into());
                if !field.default.is_empty() {
                    object.insert("default".into(), written(field.default));
                }
            }
            (field.key.to_owned(), schema)
        })
        .collect();
    json!({
        "type": "object", "description": unfolded(S::ABOUT), "additionalProperties": false,
        "properties": properties,
    })
}

/// A doc comment as one paragraph.
pub(crate) fn unfolded(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A default as JSON: `true`, a number, a list, else text.
fn written(default: &str) -> Json {
    serde_json::from_str(default).unwrap_or_else(|_| default.into())
}

/// Declares a table of settings: the struct, its reading and its documentation from the same lines.
/// `key: Type = "default as it would be written"`.
macro_rules! section {
    (
        $(#[doc = $about:expr])*
        $name:ident {
            $( $(#[doc = $doc:expr])* $key:ident: $kind:ty = $default:expr, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])* pub(crate) $key: $kind, )*
        }

        impl $crate::config::reader::Section for $name {
            const ABOUT: &'static str = concat!($($about, "\n"),*);

            fn fields() -> Vec<$crate::config::reader::Field> {
                vec![$(
                    $crate::config::reader::Field {
                        key: stringify!($key),
                        doc: concat!($($doc, "\n"),*),
                        schema: <$kind as $crate::config::reader::Setting>::schema(),
                        default: $default,
                    }
                ),*]
            }

            fn section(reader: &mut $crate::config::reader::Reader<'_>) -> Self {
                let section = $name {
                    $( $key: $crate::config::reader::Setting::read(
                        reader, stringify!($key), $default,
                    ), )*
                };
                reader.only(&[$(stringify!($key)),*]);
                section
            }
        }

        impl $crate::config::reader::Setting for $name {
            fn read(
                reader: &mut $crate::config::reader::Reader<'_>,
                key: &'static str,
                _default: &'static str,
            ) -> Self {
                $crate::config::reader::Section::section(&mut reader.below(key))
            }

            fn schema() -> serde_json::Value {
                $crate::config::reader::object_schema::<$name>()
            }
        }

        /// A table whose being there says something.
        impl $crate::config::reader::Setting for Option<$name> {
            fn read(
                reader: &mut $crate::config::reader::Reader<'_>,
                key: &'static str,
                default: &'static str,
            ) -> Self {
                reader.entry(key)?;
                Some($crate::config::reader::Setting::read(reader, key, default))
            }

            fn schema() -> serde_json::Value {
                $crate::config::reader::object_schema::<$name>()
            }
        }
    };
}

pub(crate) use section;

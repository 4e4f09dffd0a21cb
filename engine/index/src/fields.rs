//! The fields of the index: their names in queries, their types, how text is cut into words.

use tantivy::{
    Index, Term,
    schema::{
        FAST, Field, IndexRecordOption, JsonObjectOptions, NumericOptions, Schema,
        TextFieldIndexing, TextOptions,
    },
    tokenizer::{LowerCaser, RawTokenizer, RemoveLongFilter, SimpleTokenizer, TextAnalyzer},
};

/// Grows when documents are made differently from the same finding: an index of another number is
/// refused and built again.
pub(crate) const FORMAT: u64 = 1;

/// Runs of letters and digits, lower case, shorter than [`LONGEST_WORD`].
const WORDS: &str = "sluice_words";
/// The whole value, lower case.
const EXACT: &str = "sluice_exact";
/// Bytes from which a word is not indexed; base64 is not searched for by hand.
pub(crate) const LONGEST_WORD: usize = 256;

/// What a field of the query language takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// The whole value, case aside.
    Exact,
    /// One of few words.
    Word,
    /// Words next to each other.
    Text,
    /// A whole number.
    Number,
    /// A point in time.
    Time,
}

/// Every field that a query can name, `fields.COLUMN` aside.
pub(crate) const NAMES: [(&str, FieldKind); 16] = [
    ("id", FieldKind::Exact),
    ("rule_id", FieldKind::Exact),
    ("severity", FieldKind::Word),
    ("status", FieldKind::Word),
    ("reason", FieldKind::Word),
    ("assignee", FieldKind::Exact),
    ("state", FieldKind::Word),
    ("entity", FieldKind::Exact),
    ("entity_kind", FieldKind::Word),
    ("attack", FieldKind::Exact),
    ("tactic", FieldKind::Exact),
    ("title", FieldKind::Text),
    ("count", FieldKind::Number),
    ("risk", FieldKind::Number),
    ("time", FieldKind::Time),
    ("shadow", FieldKind::Word),
];

/// The handles.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    named: [(&'static str, FieldKind, Field); 16],
    /// The words of everything.
    pub(crate) all: Field,
    /// The words of each column.
    pub(crate) columns: Field,
    /// The numbers of each column, for ranges.
    pub(crate) numbers: Field,
    /// The two halves of the id, for the order.
    pub(crate) id_high: Field,
    pub(crate) id_low: Field,
}

impl Fields {
    pub(crate) fn schema() -> (Schema, Fields) {
        let mut builder = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer(WORDS)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let exact = TextFieldIndexing::default()
            .set_tokenizer(EXACT)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        let named = NAMES.map(|(name, kind)| {
            let field = match kind {
                // Columns of entities and ids would be as large as the rest, for no facet.
                FieldKind::Exact if matches!(name, "id" | "entity") => builder.add_text_field(
                    name,
                    TextOptions::default().set_indexing_options(exact.clone()),
                ),
                FieldKind::Exact | FieldKind::Word => builder.add_text_field(
                    name,
                    TextOptions::default().set_indexing_options(exact.clone()).set_fast("raw"),
                ),
                FieldKind::Text => builder.add_text_field(
                    name,
                    TextOptions::default().set_indexing_options(words.clone()),
                ),
                FieldKind::Number | FieldKind::Time => {
                    builder.add_i64_field(name, NumericOptions::default() | FAST)
                }
            };
            (name, kind, field)
        });
        let all = builder
            .add_text_field("all", TextOptions::default().set_indexing_options(words.clone()));
        let columns = builder.add_json_field(
            "columns",
            JsonObjectOptions::default().set_expand_dots_enabled().set_indexing_options(words),
        );
        let numbers = builder.add_json_field(
            "numbers",
            JsonObjectOptions::default().set_expand_dots_enabled().set_fast("raw"),
        );
        let id_high = builder.add_u64_field("id_high", FAST);
        let id_low = builder.add_u64_field("id_low", FAST);
        (builder.build(), Fields { named, all, columns, numbers, id_high, id_low })
    }

    /// The field of a name in [`NAMES`].
    pub(crate) fn named(&self, name: &str) -> Option<Field> {
        self.named.iter().find(|(n, ..)| *n == name).map(|(.., field)| *field)
    }

    /// The term of a value of a text field in [`NAMES`], or of its beginning; case aside.
    pub(crate) fn term(&self, name: &str, value: &str) -> Option<Term> {
        Some(Term::from_field_text(self.named(name)?, &value.to_lowercase()))
    }
}

/// Makes the index cut text as the schema says.
pub(crate) fn register(index: &Index) {
    index.tokenizers().register(WORDS, words());
    let exact = TextAnalyzer::builder(RawTokenizer::default()).filter(LowerCaser).build();
    index.tokenizers().register(EXACT, exact);
}

/// Cuts text into the words of the index.
pub(crate) fn words() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser)
        .build()
}

/// The start of every text term of a column.
pub(crate) fn column_term(field: Field, path: &str, word: &str) -> Term {
    let mut term = Term::from_field_json_path(field, path, true);
    term.append_type_and_str(word);
    term
}

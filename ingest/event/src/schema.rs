//! The tables and their columns, from the one schema file. Not the wire columns of a source: those
//! are declared by its mapping and live in `raw.<source>`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};

use crate::TableName;

/// Every typed table of the vocabulary.
///
/// One file, `schema.tsv`, is the source of the arrow schemas, of `sluice schema` and of the docs:
/// a row there is `table, column, type, ocsf path, values, description, example`; table `*` is the
/// columns every table has.
#[derive(Debug)]
pub struct Schema {
    tables: BTreeMap<TableName, Arc<TableSchema>>,
}

/// One table: its columns in order, documented, and as arrow sees them.
#[derive(Debug)]
pub struct TableSchema {
    /// The name in SQL.
    pub name: TableName,
    /// The columns in the order of `arrow`.
    pub columns: Vec<Column>,
    /// The arrow schema; fields carry `ocsf.path` and `description` as metadata.
    pub arrow: SchemaRef,
    /// How many leading columns every table has.
    pub common: usize,
}

/// One documented column.
#[derive(Debug, Clone)]
pub struct Column {
    /// The name: lower case, never needs quotes.
    pub name: &'static str,
    /// The type.
    pub kind: ColumnType,
    /// The path in OCSF 1.8.0, where it has one.
    pub ocsf: Option<&'static str>,
    /// The values of an enumeration, as shown; empty if open.
    pub values: Vec<&'static str>,
    /// What it holds, one sentence.
    pub description: &'static str,
    /// A typical value.
    pub example: &'static str,
}

/// The types a column can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Milliseconds since 1970, UTC.
    Timestamp,
    /// Text with many values.
    Text,
    /// Text with few values: dictionary-encoded, predicates cost per distinct value.
    Keyword,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// Double.
    Float,
    /// Boolean.
    Bool,
    /// A list of texts; empty, never NULL.
    List,
    /// JSON as text.
    Json,
}

impl Schema {
    /// The schema this build was made with.
    pub fn builtin() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> =
            LazyLock::new(|| Schema::parse(include_str!("../schema.tsv")));
        &SCHEMA
    }

    /// A table by name; not `raw.` tables.
    pub fn table(&self, name: &str) -> Option<&Arc<TableSchema>> {
        self.tables.get(&TableName::new(name))
    }

    /// Every table in name order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.tables.values()
    }

    fn parse(text: &'static str) -> Schema {
        let mut rows: BTreeMap<&'static str, Vec<Column>> = BTreeMap::new();
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let cells: Vec<&'static str> = line.split('\t').collect();
            let cell = |i: usize| cells.get(i).copied().unwrap_or("");
            let Some(kind) = ColumnType::parse(cell(2)) else { continue };
            rows.entry(cell(0)).or_default().push(Column {
                name: cell(1),
                kind,
                ocsf: Some(cell(3)).filter(|p| !p.is_empty()),
                values: cell(4).split('|').filter(|v| !v.is_empty()).collect(),
                description: cell(5),
                example: cell(6),
            });
        }
        let common = rows.remove("*").unwrap_or_default();
        let tables = rows
            .into_iter()
            .map(|(name, own)| {
                let columns: Vec<Column> = common.iter().cloned().chain(own).collect();
                let name = TableName::new(name);
                (name.clone(), Arc::new(TableSchema::new(name, columns, common.len())))
            })
            .collect();
        Schema { tables }
    }
}

impl TableSchema {
    fn new(name: TableName, columns: Vec<Column>, common: usize) -> Self {
        let fields: Vec<Field> = columns.iter().map(Column::field).collect();
        TableSchema { name, columns, arrow: Arc::new(ArrowSchema::new(fields)), common }
    }

    /// The index of a column.
    pub fn index(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }
}

impl Column {
    fn field(&self) -> Field {
        let mut metadata = HashMap::new();
        if let Some(path) = self.ocsf {
            metadata.insert("ocsf.path".to_owned(), path.to_owned());
        }
        metadata.insert("description".to_owned(), self.description.to_owned());
        Field::new(self.name, self.kind.arrow(), self.name != "time").with_metadata(metadata)
    }
}

impl ColumnType {
    /// The arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            ColumnType::Text | ColumnType::Json => DataType::Utf8,
            ColumnType::Keyword => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            ColumnType::Int => DataType::Int32,
            ColumnType::Long => DataType::Int64,
            ColumnType::Float => DataType::Float64,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::List => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
            }
        }
    }

    /// The word in the schema file and in `sluice schema`.
    pub fn name(self) -> &'static str {
        match self {
            ColumnType::Timestamp => "timestamp",
            ColumnType::Text => "text",
            ColumnType::Keyword => "keyword",
            ColumnType::Int => "int",
            ColumnType::Long => "long",
            ColumnType::Float => "float",
            ColumnType::Bool => "bool",
            ColumnType::List => "list",
            ColumnType::Json => "json",
        }
    }

    fn parse(word: &str) -> Option<ColumnType> {
        [
            ColumnType::Timestamp,
            ColumnType::Text,
            ColumnType::Keyword,
            ColumnType::Int,
            ColumnType::Long,
            ColumnType::Float,
            ColumnType::Bool,
            ColumnType::List,
            ColumnType::Json,
        ]
        .into_iter()
        .find(|t| t.name() == word)
    }
}

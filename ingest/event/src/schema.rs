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
/// One file, `schema.tsv`, is the source of the arrow schemas, of `sluice schema` and of the docs;
/// its head says what its cells mean. The tables that Sluice fills itself are in `own.tsv`.
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
    /// The leading columns of `arrow` that rules can read; none of a table for hunts only.
    pub rules: SchemaRef,
    /// How many leading columns every table has.
    pub common: usize,
    /// The OCSF classes of its rows; the first is that of a row whose mapping names none.
    pub classes: Vec<(i32, &'static str)>,
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
    /// Classes in which the path is another one.
    pub ocsf_of_class: Vec<(i32, &'static str)>,
    /// The values of an enumeration, as shown; empty if open.
    pub values: Vec<&'static str>,
    /// The OCSF ids of `values`, where they have one.
    pub ids: Vec<CaptionId>,
    /// What it holds, one sentence.
    pub description: &'static str,
    /// A typical value.
    pub example: &'static str,
    /// Whether people, time or the order of arrival change it after the fact, so that only hunts read
    /// it.
    pub hunts_only: bool,
}

/// A caption of an OCSF enumeration and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptionId {
    /// The class the number is of; `None` for every class without numbers of its own.
    pub class: Option<i32>,
    /// The number.
    pub id: i32,
    /// The caption.
    pub caption: &'static str,
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
    ///
    /// ```
    /// use sluice_event::{ColumnType, Schema};
    ///
    /// let table = Schema::builtin().table("authentication").unwrap();
    /// let column = &table.columns[table.index("user_entity").unwrap()];
    /// assert!(matches!(column.kind, ColumnType::Text | ColumnType::Keyword));
    /// assert!(table.index("no_such_column").is_none());
    /// ```
    pub fn builtin() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> =
            LazyLock::new(|| Schema::parse(include_str!("../schema.tsv")));
        &SCHEMA
    }

    /// The tables that Sluice fills itself: what was found, incidents, the risk of entities.
    pub fn own() -> &'static Schema {
        static OWN: LazyLock<Schema> = LazyLock::new(|| Schema::parse(include_str!("../own.tsv")));
        &OWN
    }

    /// A table of events or one that Sluice fills itself.
    pub fn any(name: &str) -> Option<&'static Arc<TableSchema>> {
        Schema::builtin().table(name).or_else(|| Schema::own().table(name))
    }

    /// Every table of events, then those that Sluice fills itself.
    pub fn all() -> impl Iterator<Item = &'static Arc<TableSchema>> {
        Schema::builtin().tables().chain(Schema::own().tables())
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
        let mut common: Vec<Column> = Vec::new();
        let mut tables: BTreeMap<&'static str, Vec<Column>> = BTreeMap::new();
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let mut cells = line.split('\t');
            let mut cell = || cells.next().unwrap_or("");
            let (table, name, kind) = (cell(), cell(), cell());
            let hunts_only = table.ends_with('+');
            let table = table.trim_end_matches('+');
            let columns = match table {
                "*" => &mut common,
                _ => tables.entry(table).or_insert_with(|| common.clone()),
            };
            let mut column = match ColumnType::parse(kind) {
                Some(kind) => Column::new(name, kind),
                None => match columns.iter().find(|c| kind == "=" && c.name == name) {
                    Some(inherited) => inherited.clone(),
                    None => continue,
                },
            };
            column.read(cell(), cell(), cell(), cell());
            column.hunts_only = hunts_only;
            match columns.iter_mut().find(|c| c.name == name) {
                Some(inherited) => *inherited = column,
                None => columns.push(column),
            }
        }
        let common = common.len();
        let tables = tables
            .into_iter()
            .map(|(name, columns)| {
                let name = TableName::new(name);
                (name.clone(), Arc::new(TableSchema::new(name, columns, common)))
            })
            .collect();
        Schema { tables }
    }
}

impl TableSchema {
    fn new(name: TableName, columns: Vec<Column>, common: usize) -> Self {
        let fields: Vec<Field> = columns.iter().map(Column::field).collect();
        let classes = columns
            .iter()
            .filter(|c| c.name == "class_uid")
            .flat_map(|c| c.ids.iter().map(|v| (v.id, v.caption)))
            .collect();
        let lasting = fields.iter().zip(&columns).filter(|(_, c)| !c.hunts_only);
        let rules: Vec<Field> = lasting.map(|(field, _)| field.clone()).collect();
        let [arrow, rules] = [fields, rules].map(|fields| Arc::new(ArrowSchema::new(fields)));
        TableSchema { name, columns, arrow, rules, common, classes }
    }

    /// The index of a column.
    pub fn index(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }
}

impl Column {
    /// The path in a class of OCSF 1.8.0.
    pub fn path(&self, class: i32) -> Option<&'static str> {
        self.ocsf_of_class.iter().find(|(c, _)| *c == class).map(|(_, path)| *path).or(self.ocsf)
    }

    /// The OCSF id of a caption in a class: 99 (Other) for one the enumeration lacks.
    pub fn id(&self, class: i32, caption: &str) -> i32 {
        const OTHER: i32 = 99;
        // A class with numbers of its own shares only Unknown and Other with the rest.
        let own = self.ids.iter().any(|v| v.class == Some(class));
        self.ids
            .iter()
            .filter(|v| v.caption == caption)
            .find(|v| match v.class {
                Some(c) => c == class,
                None => !own || v.id == 0,
            })
            .map_or(OTHER, |v| v.id)
    }

    fn new(name: &'static str, kind: ColumnType) -> Self {
        Column {
            name,
            kind,
            ocsf: None,
            ocsf_of_class: Vec::new(),
            values: Vec::new(),
            ids: Vec::new(),
            description: "",
            example: "",
            hunts_only: false,
        }
    }

    /// Takes the cells that say something; an empty one keeps what is inherited.
    fn read(
        &mut self,
        paths: &'static str,
        values: &'static str,
        description: &'static str,
        example: &'static str,
    ) {
        if !paths.is_empty() {
            let mut paths = paths.split(' ');
            self.ocsf = paths.next();
            self.ocsf_of_class = paths
                .filter_map(|p| p.split_once(':'))
                .filter_map(|(class, path)| Some((class.parse().ok()?, path)))
                .collect();
        }
        if !values.is_empty() {
            (self.values, self.ids) = (Vec::new(), Vec::new());
            for value in values.split('|') {
                let id = CaptionId::parse(value);
                let caption = id.map_or(value, |v| v.caption);
                self.ids.extend(id);
                if !self.values.contains(&caption) {
                    self.values.push(caption);
                }
            }
        }
        if !description.is_empty() {
            self.description = description;
        }
        if !example.is_empty() {
            self.example = example;
        }
    }

    fn field(&self) -> Field {
        let mut metadata = HashMap::new();
        if let Some(path) = self.ocsf {
            metadata.insert("ocsf.path".to_owned(), path.to_owned());
        }
        metadata.insert("description".to_owned(), self.description.to_owned());
        Field::new(self.name, self.kind.arrow(), self.name != "time").with_metadata(metadata)
    }
}

impl CaptionId {
    /// `1 Logon`, or `3003:1 Assign Privileges`.
    fn parse(value: &'static str) -> Option<CaptionId> {
        let (id, caption) = value.split_once(' ')?;
        let (class, id) = match id.split_once(':') {
            Some((class, id)) => (Some(class.parse().ok()?), id),
            None => (None, id),
        };
        Some(CaptionId { class, id: id.parse().ok()?, caption })
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lines(file: &str) -> impl Iterator<Item = Vec<&str>> {
        let lines = file.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        lines.map(|l| l.split('\t').collect())
    }

    #[test]
    fn every_line_of_the_file_is_read() {
        let mut seen = BTreeSet::new();
        let events = lines(include_str!("../schema.tsv")).map(|cells| (cells, true));
        let own = lines(include_str!("../own.tsv")).map(|cells| (cells, false));
        for (cells, has_common) in events.chain(own) {
            assert_eq!(cells.len(), 7, "{cells:?}");
            assert!(cells.iter().all(|c| c.trim() == *c), "{cells:?}");
            assert!(cells[2] == "=" || ColumnType::parse(cells[2]).is_some(), "{cells:?}");
            assert!(seen.insert((cells[0], cells[1])), "twice: {cells:?}");
            let common = has_common && seen.contains(&("*", cells[1])) && cells[0] != "*";
            assert_eq!(common, cells[2] == "=", "`=` is for columns of every table: {cells:?}");
        }
    }

    #[test]
    fn every_column_is_documented() {
        for table in Schema::all() {
            let mut names = BTreeSet::new();
            for c in &table.columns {
                let place = format!("{}.{}", table.name, c.name);
                assert!(names.insert(c.name), "twice: {place}");
                assert!(c.description.ends_with('.') && !c.example.is_empty(), "{place}");
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                assert!(c.name.bytes().all(plain), "needs quotes: {place}");
            }
            assert_eq!(table.columns[0].name, "time");
            let own = Schema::own().table(table.name.as_str()).is_some();
            assert!(own || !table.classes.is_empty(), "{} has no class", table.name);
            assert!(own || table.columns.iter().all(|c| !c.hunts_only), "{}", table.name);
        }
    }

    #[test]
    fn rules_read_what_was_found_but_not_what_became_of_it() {
        let table = |name: &str| Schema::own().table(name).unwrap();
        let findings = table("findings");
        let width = findings.rules.fields().len();
        assert_eq!(findings.rules.fields()[..], findings.arrow.fields()[..width]);
        assert!(findings.rules.index_of("rule_id").is_ok());
        assert!(findings.rules.index_of("status").is_err());
        assert!(findings.arrow.index_of("status").is_ok());
        for name in ["incidents", "entity_risk"] {
            assert!(table(name).rules.fields().is_empty(), "{name}");
        }
        let names = |schema: &Schema| -> BTreeSet<TableName> {
            schema.tables().map(|t| t.name.clone()).collect()
        };
        assert!(names(Schema::own()).is_disjoint(&names(Schema::builtin())));
    }

    #[test]
    fn an_enumeration_holds_its_example() {
        for table in Schema::all() {
            for c in table.columns.iter().filter(|c| !c.values.is_empty()) {
                let known = c.values.contains(&c.example)
                    || c.ids.iter().any(|v| v.id.to_string() == c.example);
                assert!(known, "{}.{}: {}", table.name, c.name, c.example);
            }
        }
    }

    #[test]
    fn in_one_class_no_two_columns_share_a_path() {
        // Where user or process is the actor, the columns of both are written once.
        let shared = |path: &str| path.starts_with("actor.") || path.ends_with("[]");
        for table in Schema::builtin().tables() {
            for (class, _) in &table.classes {
                let mut seen = BTreeSet::new();
                for path in table.columns.iter().filter_map(|c| c.path(*class)) {
                    assert!(shared(path) || seen.insert(path), "{} {class}: {path}", table.name);
                }
            }
        }
    }

    #[test]
    fn a_table_overrides_what_differs_and_inherits_the_rest() {
        let path = |table: &str, column: &str, class: i32| {
            let table = Schema::builtin().table(table).unwrap();
            table.columns[table.index(column).unwrap()].path(class)
        };
        assert_eq!(path("authentication", "user_name", 3002), Some("user.name"));
        assert_eq!(path("identity_change", "user_name", 3001), Some("user.name"));
        assert_eq!(path("identity_change", "user_name", 3004), Some("actor.user.name"));
        assert_eq!(path("api_activity", "user_name", 6003), Some("actor.user.name"));
        assert_eq!(path("network", "session_uid", 4014), Some("session.uid"));
        assert_eq!(path("network", "src_port", 4001), Some("src_endpoint.port"));
        assert_eq!(path("network", "src_is_private", 4001), None);
    }

    #[test]
    fn ids_follow_the_class() {
        let table = Schema::builtin().table("identity_change").unwrap();
        let activity = &table.columns[table.index("activity").unwrap()];
        assert_eq!(table.classes[0], (3001, "Account Change"));
        assert_eq!(activity.id(3001, "Delete"), 6);
        assert_eq!(activity.id(3004, "Delete"), 4);
        assert_eq!(activity.id(3006, "Delete"), 99, "not an activity of that class");
        assert_eq!(activity.id(3006, "Unknown"), 0);
        assert_eq!(activity.id(3001, "Renamed by hand"), 99);
        assert_eq!(activity.values.iter().filter(|v| **v == "Delete").count(), 1);
    }
}

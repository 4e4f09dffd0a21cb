//! The lookups a text may ask: rows by key, found exactly, whatever the case, by suffix or by network.
//! Not their files: `rule` reads those; not the functions that ask: [`crate::functions`].

mod join;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{ArrayRef, StringArray},
    datatypes::{DataType, Field, Schema},
    error::ArrowError,
    record_batch::RecordBatch,
};
use sluice_rule::{Diagnostic, KeyMatch, LookupTable};

use crate::{
    known::{Asked, Baselines},
    networks::{Network, address, is_v4},
};

pub(crate) use join::{Joins, joins_as_calls, used};

/// What SQL may ask beside the row: lookups by name, of one version each, and in hunts what baselines
/// know. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lookups {
    files: Arc<BTreeMap<String, Lookup>>,
    baselines: Option<Arc<dyn Baselines>>,
    /// The same as of the moment a query begins.
    asked: Option<Asked>,
}

/// One lookup, ready to be asked.
#[derive(Debug)]
pub struct Lookup {
    /// Its rows.
    pub table: LookupTable,
    index: Index,
}

/// Rows by key.
#[derive(Debug)]
enum Index {
    Exact(HashMap<Arc<str>, usize>),
    /// Keys in lower case.
    Folded(HashMap<String, usize>),
    /// Keys in lower case, without a leading dot.
    Suffix(HashMap<String, usize>),
    /// Networks by which bits count and whether they hold IPv4 addresses, most bits first.
    Networks(Vec<((u128, bool), HashMap<u128, usize>)>),
}

/// Lookups that exist whether a file gives them rows or not: the engine and shipped rules ask them.
const WELL_KNOWN: [(&str, &[&str]); 2] = [
    ("identity", &["user", "aliases", "class", "time_zone", "groups", "criticality"]),
    ("asset", &["device", "aliases", "class", "owner", "criticality"]),
];

impl Default for Lookups {
    /// Those that always exist, without rows.
    fn default() -> Lookups {
        static EMPTY: LazyLock<Lookups> = LazyLock::new(|| {
            let empty = |(name, columns): (&str, &[&str])| {
                let table = LookupTable::empty(name, columns, KeyMatch::IgnoreCase);
                (name.to_owned(), Lookup { table, index: Index::Folded(HashMap::new()) })
            };
            let files = Arc::new(WELL_KNOWN.into_iter().map(empty).collect());
            Lookups { files, baselines: None, asked: None }
        });
        EMPTY.clone()
    }
}

/// Two are the same if they have the same versions: what follows from one follows from the other.
impl PartialEq for Lookups {
    fn eq(&self, other: &Lookups) -> bool {
        let same = Arc::ptr_eq(&self.files, &other.files) || self.versions().eq(other.versions());
        same && self.asked == other.asked
    }
}

impl Eq for Lookups {}

impl Hash for Lookups {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.versions().for_each(|version| version.hash(state));
    }
}

impl Lookups {
    /// The lookups that always exist and these; one of the same name takes the place of another.
    ///
    /// # Errors
    /// R009 for a key that is there twice with different rows, or is no network where it must be one;
    /// the path is the name of the lookup.
    pub fn new(tables: impl IntoIterator<Item = LookupTable>) -> Result<Lookups, Vec<Diagnostic>> {
        Lookups::default().with(tables)
    }

    /// These and others; one of the same name takes the place of another.
    ///
    /// # Errors
    /// As [`Lookups::new`].
    pub fn with(
        &self,
        tables: impl IntoIterator<Item = LookupTable>,
    ) -> Result<Lookups, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        let mut all: BTreeMap<String, Lookup> = BTreeMap::new();
        for table in tables {
            match Index::new(&table) {
                Ok(index) => {
                    all.insert(table.name.clone(), Lookup { table, index });
                }
                Err(diagnostic) => wrong.push(diagnostic),
            }
        }
        for (name, lookup) in
            self.files.iter().filter(|(name, _)| !wrong.iter().any(|d| d.path == **name))
        {
            if !all.contains_key(name) {
                let index = Index::new(&lookup.table).map_err(|d| vec![d])?;
                all.insert(name.clone(), Lookup { table: lookup.table.clone(), index });
            }
        }
        let baselines = self.baselines.clone();
        let lookups = Lookups { files: Arc::new(all), baselines, asked: None };
        if wrong.is_empty() { Ok(lookups) } else { Err(wrong) }
    }

    /// These and baselines to ask, in hunts.
    pub fn with_baselines(&self, baselines: Arc<dyn Baselines>) -> Lookups {
        Lookups { baselines: Some(baselines), ..self.clone() }
    }

    /// What is known now, for one query.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn snapshot(&self) -> Result<Lookups, String> {
        let asked = self.baselines.as_ref().map(|baselines| baselines.snapshot()).transpose()?;
        Ok(asked.map_or_else(|| self.clone(), |asked| self.asking(Asked(asked))))
    }

    /// These and what is known at one moment.
    pub(crate) fn asking(&self, asked: Asked) -> Lookups {
        Lookups { asked: Some(asked), ..self.clone() }
    }

    /// The baselines of this query.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    /// One lookup for examples: `vip`, which has `ann` with the tier `gold`.
    pub(crate) fn example() -> Lookups {
        let row = ["ann", "gold"].map(|cell| Some(cell.into())).to_vec();
        let vip = LookupTable {
            rows: vec![row],
            ..LookupTable::empty("vip", &["user", "tier"], KeyMatch::IgnoreCase)
        };
        Lookups::new([vip]).unwrap_or_default()
    }

    /// A lookup by name.
    pub fn get(&self, name: &str) -> Option<&Lookup> {
        self.files.get(name)
    }

    /// Every lookup in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Lookup)> {
        self.files.iter().map(|(name, lookup)| (name.as_str(), lookup))
    }

    fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, lookup)| (name, &*lookup.table.version))
    }
}

impl Lookup {
    /// The row a value finds.
    pub fn row(&self, value: &str) -> Option<&[Option<Arc<str>>]> {
        self.table.rows.get(self.index.find(value)?).map(Vec::as_slice)
    }

    /// As a table of texts, each key once.
    pub(crate) fn rows(&self) -> Result<RecordBatch, ArrowError> {
        let table = &self.table;
        let key = |row: &[Option<Arc<str>>]| row.get(table.key).cloned().flatten();
        let mut seen = HashSet::new();
        let kept: Vec<&Vec<Option<Arc<str>>>> =
            table.rows.iter().filter(|row| key(row).is_none_or(|key| seen.insert(key))).collect();
        let column = |n: usize| -> ArrayRef {
            Arc::new(kept.iter().map(|row| row.get(n).cloned().flatten()).collect::<StringArray>())
        };
        let fields: Vec<Field> =
            table.columns.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let columns = (0..table.columns.len()).map(column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

impl Index {
    fn new(table: &LookupTable) -> Result<Index, Diagnostic> {
        let keys = || {
            table
                .rows
                .iter()
                .enumerate()
                .filter_map(|(at, row)| Some((row.get(table.key)?.as_ref()?, at)))
        };
        let twice = |key: &str| {
            let text = format!("the key `{key}` has two different rows");
            Diagnostic::error("R009", &table.name, text).hint("a row for each key")
        };
        // A row that is there twice is there once.
        let differs = |a: usize, b: usize| table.rows.get(a) != table.rows.get(b);
        Ok(match table.matching {
            KeyMatch::Exact => {
                let mut found: HashMap<Arc<str>, usize> = HashMap::new();
                for (key, at) in keys() {
                    let first = *found.entry(Arc::clone(key)).or_insert(at);
                    if differs(first, at) {
                        return Err(twice(key));
                    }
                }
                Index::Exact(found)
            }
            KeyMatch::IgnoreCase | KeyMatch::Suffix => {
                let is_suffix = table.matching == KeyMatch::Suffix;
                let mut found: HashMap<String, usize> = HashMap::new();
                for (key, at) in keys() {
                    let mut folded = key.to_lowercase();
                    if is_suffix {
                        folded = folded.trim_start_matches('.').to_owned();
                    }
                    let first = *found.entry(folded).or_insert(at);
                    if differs(first, at) {
                        return Err(twice(key));
                    }
                }
                if is_suffix { Index::Suffix(found) } else { Index::Folded(found) }
            }
            KeyMatch::Cidr => {
                let mut found: BTreeMap<(Reverse<u128>, bool), HashMap<u128, usize>> =
                    BTreeMap::new();
                for (key, at) in keys() {
                    let network = Network::parse(key).map_err(|_| {
                        let text = format!("the key `{key}` is no network");
                        Diagnostic::error("R009", &table.name, text)
                            .hint("10.0.0.0/8, fc00::/7, 203.0.113.9")
                    })?;
                    let alike = found.entry((Reverse(network.mask), network.v4)).or_default();
                    let first = *alike.entry(network.bits).or_insert(at);
                    if differs(first, at) {
                        return Err(twice(key));
                    }
                }
                let found =
                    found.into_iter().map(|((mask, v4), rows)| ((mask.0, v4), rows)).collect();
                Index::Networks(found)
            }
        })
    }

    fn find(&self, value: &str) -> Option<usize> {
        match self {
            Index::Exact(rows) => rows.get(value).copied(),
            Index::Folded(rows) => rows.get(value.to_lowercase().as_str()).copied(),
            Index::Suffix(rows) => {
                let folded = value.to_lowercase();
                // From the whole value on, after each dot and each `@`.
                let ends = folded.match_indices(['.', '@']).map(|(at, mark)| at + mark.len());
                std::iter::once(0).chain(ends).find_map(|at| rows.get(folded.get(at..)?).copied())
            }
            Index::Networks(networks) => {
                let address = address(value)?;
                let family = is_v4(address);
                let alike = networks.iter().filter(|((_, v4), _)| *v4 == family);
                alike.into_iter().find_map(|((mask, _), rows)| rows.get(&(address & mask)).copied())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(matching: KeyMatch, keys: &[&str]) -> Result<Lookups, Vec<Diagnostic>> {
        let table = LookupTable {
            name: "l".to_owned(),
            columns: vec!["key".to_owned(), "value".to_owned()],
            key: 0,
            matching,
            rows: keys
                .iter()
                .map(|k| vec![Some((*k).into()), Some(format!("of {k}").into())])
                .collect(),
            version: "v".into(),
        };
        Lookups::new([table])
    }

    #[track_caller]
    fn check(matching: KeyMatch, keys: &[&str], found: &[(&str, Option<&str>)]) {
        let lookups = lookup(matching, keys).unwrap();
        for (value, key) in found {
            let row = lookups.get("l").unwrap().row(value);
            assert_eq!(row.and_then(|r| r[0].as_deref()), *key, "{matching:?} {value}");
        }
    }

    #[test]
    fn keys_are_found_as_they_are_declared() {
        check(KeyMatch::Exact, &["ann", "Bob"], &[("ann", Some("ann")), ("bob", None), ("", None)]);
        check(KeyMatch::IgnoreCase, &["Bob", "ÉVA"], &[("bOB", Some("Bob")), ("éva", Some("ÉVA"))]);
        let names = ["example.com", ".deep.example.com", "co"];
        check(
            KeyMatch::Suffix,
            &names,
            &[
                ("example.com", Some("example.com")),
                ("A.Example.COM", Some("example.com")),
                ("ann@example.com", Some("example.com")),
                ("notexample.com", None),
                ("x.deep.example.com", Some(".deep.example.com")),
                ("deep.example.com", Some(".deep.example.com")),
                ("shop.co", Some("co")),
                ("com", None),
            ],
        );
        let networks = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::/0"];
        check(
            KeyMatch::Cidr,
            &networks,
            &[
                ("10.2.3.4", Some("10.0.0.0/8")),
                ("10.1.3.4", Some("10.1.0.0/16")),
                ("192.0.2.7", Some("192.0.2.7")),
                ("192.0.2.8", None),
                ("2001:db8::1", Some("2001:db8::/32")),
                ("fe80::1", Some("::/0")),
                ("not an address", None),
            ],
        );
    }

    #[test]
    fn a_key_has_one_row() {
        assert!(lookup(KeyMatch::Exact, &["a", "a"]).is_ok(), "the same row twice");
        for (matching, keys) in [
            (KeyMatch::IgnoreCase, ["a", "A"]),
            (KeyMatch::Suffix, ["a.b", ".a.b"]),
            (KeyMatch::Cidr, ["10.0.0.0/8", "10.1.0.0/8"]),
        ] {
            let wrong = lookup(matching, &keys).unwrap_err();
            assert!(wrong[0].primary.contains("two different rows"), "{wrong:?}");
        }
        let wrong = lookup(KeyMatch::Cidr, &["10.0.0.0/33"]).unwrap_err();
        assert!(wrong[0].primary.contains("is no network"), "{wrong:?}");
    }

    #[test]
    fn many_networks_give_what_trying_each_gives() {
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let keys: Vec<String> =
            (0..60).map(|_| format!("10.{}.{}.0/{}", next(4), next(4), 8 + next(17))).collect();
        let mut distinct: Vec<(Network, &str)> = Vec::new();
        for key in &keys {
            let network = Network::parse(key).unwrap();
            if !distinct.iter().any(|(n, _)| *n == network) {
                distinct.push((network, key));
            }
        }
        let keys: Vec<&str> = distinct.iter().map(|(_, key)| *key).collect();
        let lookups = lookup(KeyMatch::Cidr, &keys).unwrap();
        let mut hits = 0;
        for _ in 0..500 {
            let value = format!("10.{}.{}.{}", next(5), next(5), next(256));
            let ip = address(&value).unwrap();
            let best = distinct.iter().filter(|(n, _)| n.contains(ip)).max_by_key(|(n, _)| n.mask);
            let row = lookups.get("l").unwrap().row(&value);
            assert_eq!(row.and_then(|r| r[0].as_deref()), best.map(|(_, key)| *key), "{value}");
            hits += usize::from(best.is_some());
        }
        assert!(hits > 50, "{hits}");
    }
}

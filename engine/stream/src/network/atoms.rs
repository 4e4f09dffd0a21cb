//! Every distinct atom of the rules of a table, once; and the columns they test.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use sluice_event::{Eval, Value};

use super::{AtomId, GroupId, check::Check, values::Class, witness};
use crate::{Atom, Leaf, Test};

/// The interned atoms.
#[derive(Debug)]
pub(super) struct Atoms {
    schema: SchemaRef,
    entries: Vec<Entry>,
    groups: Vec<Group>,
    typed: HashMap<(Source, TestKey), AtomId>,
    opaque: HashMap<u64, AtomId>,
    sources: HashMap<Source, GroupId>,
}

/// One atom.
#[derive(Debug)]
pub(super) struct Entry {
    /// The column it tests; `None` for an opaque one.
    pub(super) group: Option<GroupId>,
    pub(super) check: Check,
    /// `None` for opaque atoms and the network's own presence atoms.
    pub(super) test: Option<Test>,
    pub(super) opaque: Option<Arc<dyn Eval>>,
    pub(super) sql: Arc<str>,
}

/// One column, of the table or virtual.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) source: GroupSource,
    pub(super) class: Class,
    presence: Option<AtomId>,
}

/// Where a group's values come from.
#[derive(Debug)]
pub(super) enum GroupSource {
    Column(usize),
    Virtual(Arc<dyn Eval>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Column(usize),
    Virtual(u64),
}

/// A test and the bits of its floats: values that SQL's GROUP BY makes equal (`0.0`, `-0.0`) are
/// different bounds.
type TestKey = (Test, Vec<u64>);

impl Atoms {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Atoms {
            schema,
            entries: Vec::new(),
            groups: Vec::new(),
            typed: HashMap::new(),
            opaque: HashMap::new(),
            sources: HashMap::new(),
        }
    }

    /// The number of the atom of a leaf: the same for equal atoms.
    pub(super) fn intern(&mut self, leaf: &Leaf) -> AtomId {
        let (source, test) = match &leaf.atom {
            Atom::Column { column, test } => (Source::Column(*column), test),
            Atom::Virtual { id, test, .. } => (Source::Virtual(*id), test),
            Atom::Opaque { eval, id } => {
                if let Some(atom) = self.opaque.get(id) {
                    return *atom;
                }
                let atom = self.push(Entry {
                    group: None,
                    check: Check::Unfit,
                    test: None,
                    opaque: Some(Arc::clone(eval)),
                    sql: Arc::clone(&leaf.sql),
                });
                self.opaque.insert(*id, atom);
                return atom;
            }
        };
        let key = (source, (test.clone(), float_bits(test)));
        if let Some(atom) = self.typed.get(&key) {
            return *atom;
        }
        let group = self.group_of(source, &leaf.atom);
        let atom = self.push(Entry {
            group: Some(group),
            check: Check::new(test, self.groups[group as usize].class),
            test: Some(test.clone()),
            opaque: None,
            sql: Arc::clone(&leaf.sql),
        });
        self.typed.insert(key, atom);
        atom
    }

    /// The atom that a column is not NULL.
    pub(super) fn presence(&mut self, group: GroupId) -> AtomId {
        if let Some(atom) = self.groups[group as usize].presence {
            return atom;
        }
        let name = match &self.groups[group as usize].source {
            GroupSource::Column(column) => {
                self.schema.fields().get(*column).map_or("?", |f| f.name()).to_owned()
            }
            GroupSource::Virtual(eval) => eval.sql().to_owned(),
        };
        let atom = self.push(Entry {
            group: Some(group),
            check: Check::IsPresent,
            test: None,
            opaque: None,
            sql: format!("{name} IS NOT NULL").into(),
        });
        self.groups[group as usize].presence = Some(atom);
        atom
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entry(&self, atom: AtomId) -> &Entry {
        &self.entries[atom as usize]
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (AtomId, &Entry)> {
        (0..).zip(&self.entries)
    }

    pub(super) fn group(&self, atom: AtomId) -> Option<GroupId> {
        self.entry(atom).group
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(super) fn is_virtual(&self, group: GroupId) -> bool {
        matches!(self.groups[group as usize].source, GroupSource::Virtual(_))
    }

    pub(super) fn indexable(&self, atom: AtomId) -> bool {
        let entry = self.entry(atom);
        entry.group.is_some_and(|group| {
            let class = self.groups[group as usize].class;
            witness::indexable(class, &entry.check, entry.test.as_ref())
        })
    }

    fn push(&mut self, entry: Entry) -> AtomId {
        self.entries.push(entry);
        (self.entries.len() - 1) as AtomId
    }

    fn group_of(&mut self, source: Source, atom: &Atom) -> GroupId {
        if let Some(group) = self.sources.get(&source) {
            return *group;
        }
        let (source_of, class) = match atom {
            Atom::Virtual { column, .. } => {
                (GroupSource::Virtual(Arc::clone(column)), Class::of(column.output()))
            }
            Atom::Column { column, .. } => {
                let field = self.schema.fields().get(*column);
                let class = field.map_or(Class::Other, |f| Class::of(f.data_type()));
                (GroupSource::Column(*column), class)
            }
            // Has no column: never asked for.
            Atom::Opaque { .. } => (GroupSource::Column(usize::MAX), Class::Other),
        };
        self.groups.push(Group { source: source_of, class, presence: None });
        let group = (self.groups.len() - 1) as GroupId;
        self.sources.insert(source, group);
        group
    }
}

fn float_bits(test: &Test) -> Vec<u64> {
    let bits = |v: &Value| match v {
        Value::Float(v) => Some(v.to_bits()),
        _ => None,
    };
    match test {
        Test::In(values) => values.iter().filter_map(bits).collect(),
        Test::Less(v) | Test::LessOrEqual(v) | Test::Greater(v) | Test::GreaterOrEqual(v) => {
            bits(v).into_iter().collect()
        }
        Test::IsNull
        | Test::IsSet
        | Test::Contains(_)
        | Test::StartsWith(_)
        | Test::EndsWith(_)
        | Test::EqualsIgnoreCase(_)
        | Test::Like(_)
        | Test::Regex(_)
        | Test::Cidr(_) => Vec::new(),
    }
}

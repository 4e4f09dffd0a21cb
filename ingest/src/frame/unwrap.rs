//! Where records are inside JSON values, and which values may hold several. Not reading the values: that
//! is `scan`.

use std::ops::Range;

use memchr::memmem;

use super::scan;
use crate::detect::ask::looks_json;

/// Where the records are inside a JSON value: `$.Records[*]`, `$[*]`, `$`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwrap {
    pub(super) paths: Vec<Path>,
}

/// The keys to the records, and whether they are the elements of an array (`[*]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) keys: Vec<String>,
    pub(super) elements: bool,
}

impl Unwrap {
    /// From the paths of a mapping file; the first that is found in a value applies, and a value
    /// with none of them is a record itself. The elements of a top-level array always are records.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        let paths = paths
            .into_iter()
            .map(|path| {
                let path = path.trim().trim_start_matches('$');
                let keys = path.trim_end_matches("[*]").split('.').filter(|k| !k.is_empty());
                Path { keys: keys.map(str::to_owned).collect(), elements: path.ends_with("[*]") }
            })
            .filter(|path| !path.keys.is_empty())
            .collect();
        Unwrap { paths }
    }

    /// The paths of all of them, each once.
    pub(crate) fn union(all: &[Unwrap]) -> Self {
        let mut paths: Vec<Path> = Vec::new();
        for path in all.iter().flat_map(|u| &u.paths) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        Unwrap { paths }
    }
}

/// JSON lines that may be wrappers.
#[derive(Debug)]
pub(crate) struct Wrapped {
    unwrap: Unwrap,
    /// The first key of each path with the quote before it.
    keys: Vec<memmem::Finder<'static>>,
}

impl Wrapped {
    pub(crate) fn new(unwrap: Unwrap) -> Self {
        let first = unwrap.paths.iter().filter_map(|path| path.keys.first());
        let mut first: Vec<String> = first.map(|key| format!("\"{key}")).collect();
        first.dedup();
        let keys = first.iter().map(|key| memmem::Finder::new(key).into_owned()).collect();
        Wrapped { unwrap, keys }
    }

    /// The records inside a value on one line; `None` if the value is a record itself.
    pub(crate) fn elements(&self, line: &[u8]) -> Option<Vec<Range<usize>>> {
        if self.may_apply(line) { scan::elements(line, &self.unwrap) } else { None }
    }

    /// Whether a line may hold several records: cheap, and never wrongly `false`.
    fn may_apply(&self, line: &[u8]) -> bool {
        match line.trim_ascii_start().first() {
            Some(b'[') => looks_json(line) && !scan::is_tuple(line),
            _ => self.keys.iter().any(|key| key.find(line).is_some()),
        }
    }
}

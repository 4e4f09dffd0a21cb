//! Rule and mapping files from folders and from inside the binary. Not what they mean: `rule`
//! parses them, `sql` compiles them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};
use sluice_ingest::files;
use sluice_rule::Rule;

use crate::EngineError;

/// The folders of shipped rules, each with its name below `rules/`. `rules/format` is code.
static BUILTIN_RULES: [(&str, Dir<'_>); 5] = [
    ("application", include_dir!("$CARGO_MANIFEST_DIR/../rules/application")),
    ("cloud", include_dir!("$CARGO_MANIFEST_DIR/../rules/cloud")),
    ("endpoint", include_dir!("$CARGO_MANIFEST_DIR/../rules/endpoint")),
    ("identity", include_dir!("$CARGO_MANIFEST_DIR/../rules/identity")),
    ("network", include_dir!("$CARGO_MANIFEST_DIR/../rules/network")),
];

/// The folder of shipped baselines.
static BUILTIN_BASELINES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../rules/baselines");
/// Rules to copy: tested, not shipped.
static RECIPES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../rules/recipes");

/// Name and title of each recipe, in order.
pub fn recipes() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = RECIPES
        .files()
        .filter_map(|file| {
            let name = file.path().file_stem()?.to_string_lossy().into_owned();
            let path = format!("recipes/{name}.sql");
            let (rule, _) = Rule::parse(&path, &path, file.contents_utf8()?).ok()?;
            Some((name, rule.title))
        })
        .collect();
    found.sort();
    found
}

/// The word that stands for the shipped content in a list of folders.
pub const BUILTIN: &str = "builtin";

/// One SQL file as read: where it stands for people, its place below its folder (which makes its
/// id), and its text or why it has none.
#[derive(Debug)]
pub struct SqlText {
    /// The path to show.
    pub path: String,
    /// The path below the folder it was found in, `identity/mfa_fatigue.sql`.
    pub below: String,
    /// The bytes read, or the reason the file may not be read.
    pub text: Result<String, String>,
}

/// The shipped rules.
pub fn builtin_rules() -> Vec<SqlText> {
    let mut found = Vec::new();
    BUILTIN_RULES.iter().for_each(|(folder, dir)| walk_builtin(folder, dir, &mut found));
    found.sort_by(|a, b| a.below.cmp(&b.below));
    found
}

/// The shipped baselines.
pub fn builtin_baselines() -> Vec<SqlText> {
    let mut found = Vec::new();
    walk_builtin("baselines", &BUILTIN_BASELINES, &mut found);
    found.sort_by(|a, b| a.below.cmp(&b.below));
    found
}

fn walk_builtin(folder: &str, dir: &Dir<'_>, found: &mut Vec<SqlText>) {
    for file in dir.files().filter(|f| f.path().extension().is_some_and(|e| e == "sql")) {
        let below = format!("{folder}/{}", file.path().to_string_lossy().replace('\\', "/"));
        let text = file.contents_utf8().map(str::to_owned);
        found.push(SqlText {
            path: format!("rules/{below}"),
            below,
            text: text.ok_or_else(|| "not UTF-8".to_owned()),
        });
    }
    dir.dirs().for_each(|d| walk_builtin(folder, d, found));
}

/// Every `.sql` file in the given files and folders, once, in order of place and path; `builtin`
/// stands for `builtin()`. A file with the place of a shipped one overrides that one.
///
/// A symbolic link that leads out of its folder is not followed: it becomes a file with an error.
///
/// # Errors
/// If a named file or folder is not there or cannot be listed.
pub fn read_sql(
    paths: &[PathBuf],
    builtin: impl Fn() -> Vec<SqlText>,
) -> Result<Vec<SqlText>, EngineError> {
    let (mut shipped, mut given) = (Vec::new(), BTreeMap::new());
    for path in paths {
        if path.as_os_str() == BUILTIN {
            shipped = builtin();
        } else {
            // A file that is named twice, or beside its folder, is one file.
            given.extend(read_path(path)?);
        }
    }
    let mut found: Vec<SqlText> = given.into_values().collect();
    shipped.retain(|s| found.iter().all(|f| f.below != s.below));
    found.append(&mut shipped);
    found.sort_by(|a, b| (&a.below, &a.path).cmp(&(&b.below, &b.path)));
    Ok(found)
}

/// Files larger than this are refused unread; a rule file is at most 1 MiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files at or below a path, by their real paths.
fn read_path(path: &Path) -> Result<Vec<(PathBuf, SqlText)>, EngineError> {
    let at = |source| EngineError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(at)?;
    let root = path.canonicalize().map_err(at)?;
    let mut found = Vec::new();
    if metadata.is_dir() {
        let mut visited = BTreeSet::from([root.clone()]);
        walk(&root, path, path, &mut visited, &mut found)?;
        // A folder inside a rules folder: places count from that one.
        if let Some(above) = below_content(&root) {
            for (_, text) in &mut found {
                text.below = format!("{above}/{}", text.below);
            }
        }
    } else {
        let below = rule_place(path);
        let text = SqlText { path: path.display().to_string(), below, text: read(path) };
        found.push((root, text));
    }
    Ok(found)
}

fn walk(
    root: &Path,
    top: &Path,
    folder: &Path,
    visited: &mut BTreeSet<PathBuf>,
    found: &mut Vec<(PathBuf, SqlText)>,
) -> Result<(), EngineError> {
    let at = |source| EngineError::Read { path: folder.to_owned(), source };
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(at)?
        .map(|e| e.map(|e| e.path()))
        .collect::<io::Result<_>>()
        .map_err(at)?;
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let inside = real.starts_with(root);
        let is_sql = path.extension().is_some_and(|e| e == "sql");
        if inside && path.is_dir() {
            // A link to a folder above it, or to one that was read already, leads nowhere else.
            if visited.insert(real) {
                walk(root, top, &path, visited, found)?;
            }
        } else if is_sql {
            let below = path.strip_prefix(top).unwrap_or(&path);
            let text = SqlText {
                path: path.display().to_string(),
                below: below.to_string_lossy().replace('\\', "/"),
                text: if inside {
                    read(&path)
                } else {
                    Err("a symbolic link that leads out of the rules folder is not followed".into())
                },
            };
            found.push((real, text));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    files::read_text(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => format!("a rule file has at most {FILE_BYTES_MAX} bytes"),
        _ => error.to_string(),
    })
}

/// The place of a file that was named alone: what stands below the last folder called `rules` or
/// `mappings`, else the file's name.
fn rule_place(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = || full.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    below_content(&full).unwrap_or_else(name)
}

/// What of a real path stands below the last folder called `rules` or `mappings`, if something does.
fn below_content(full: &Path) -> Option<String> {
    let parts: Vec<String> =
        full.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    let last = parts.iter().rposition(|p| p == "rules" || p == "mappings")?;
    parts.get(last + 1..).filter(|rest| !rest.is_empty()).map(|rest| rest.join("/"))
}

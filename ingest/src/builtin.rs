//! The shipped mapping files, inside the binary. Not what they mean: `rule` parses them.

use include_dir::{Dir, include_dir};

static MAPPINGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/mappings");

/// Every shipped mapping file as (path below the mappings folder, text), in path order.
pub fn builtin_mappings() -> Vec<(String, String)> {
    fn walk(dir: &Dir<'_>, found: &mut Vec<(String, String)>) {
        for file in dir.files().filter(|f| f.path().extension().is_some_and(|e| e == "sql")) {
            let path = file.path().to_string_lossy().replace('\\', "/");
            found.extend(file.contents_utf8().map(|text| (path, text.to_owned())));
        }
        dir.dirs().for_each(|d| walk(d, found));
    }
    let mut found = Vec::new();
    walk(&MAPPINGS, &mut found);
    found.sort();
    found
}

//! The house rules, as tests: the crate graph, owners of heavy dependencies, headers, sizes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Who may depend on whom, as ARCHITECTURE.md states it.
const EDGES: &[(&str, &[&str])] = &[
    ("sluice-event", &[]),
    ("sluice-rule", &["sluice-event"]),
    ("sluice-stream", &["sluice-baseline", "sluice-event"]),
    ("sluice-sql", &["sluice-event", "sluice-rule", "sluice-stream"]),
    ("sluice-ingest", &["sluice-event", "sluice-rule"]),
    ("sluice-finding", &["sluice-event", "sluice-rule"]),
    ("sluice-index", &["sluice-event", "sluice-finding", "sluice-rule"]),
    ("sluice-baseline", &["sluice-event"]),
    ("sluice-signal", &["sluice-event"]),
    ("sluice-store", &[]),
    (
        "sluice-engine",
        &[
            "sluice-baseline",
            "sluice-event",
            "sluice-finding",
            "sluice-ingest",
            "sluice-rule",
            "sluice-sql",
            "sluice-store",
            "sluice-stream",
        ],
    ),
    ("sluice-generator", &[]),
    ("sluice-harness", &[]),
    (
        "sluice-fuzz",
        &[
            "sluice-engine",
            "sluice-event",
            "sluice-index",
            "sluice-ingest",
            "sluice-rule",
            "sluice-stream",
        ],
    ),
    ("sluice-dashboards", &[]),
    (
        "sluice-api",
        &[
            "sluice-baseline",
            "sluice-dashboards",
            "sluice-engine",
            "sluice-event",
            "sluice-finding",
            "sluice-generator",
            "sluice-index",
            "sluice-ingest",
            "sluice-rule",
            "sluice-signal",
            "sluice-store",
            "sluice-stream",
        ],
    ),
    ("xtask", &[]),
];

/// One owner per heavy dependency: a prefix of a package name and the only crate that may name it.
const OWNERS: &[(&str, &str)] = &[
    ("datafusion", "sluice-sql"),
    ("rdkafka", "sluice-ingest"),
    ("fjall", "sluice-store"),
    ("linfa", "sluice-baseline"),
    ("tantivy", "sluice-index"),
    ("parquet", "sluice-engine"),
    ("axum", "sluice-api"),
    ("tonic", "sluice-api"),
    ("envoy-types", "sluice-api"),
    ("aho-corasick", "sluice-stream"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Dependencies of each workspace crate: (name, kind), kind empty for a normal one.
fn dependencies() -> BTreeMap<String, Vec<(String, String)>> {
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    metadata(&["--no-deps"])["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            let list = p["dependencies"].as_array().unwrap().iter();
            (text(&p["name"]), list.map(|d| (text(&d["name"]), text(&d["kind"]))).collect())
        })
        .collect()
}

#[test]
fn crates_depend_only_downwards() {
    let real: BTreeMap<String, BTreeSet<String>> = dependencies()
        .into_iter()
        .map(|(name, list)| {
            let ours = |d: &String| d.starts_with("sluice-");
            // A dev-dependency may reach sideways for test data, never upwards: cargo forbids that.
            let list = list.into_iter().filter(|(_, kind)| kind.is_empty());
            (name, list.map(|(d, _)| d).filter(ours).collect())
        })
        .collect();
    let stated: BTreeMap<String, BTreeSet<String>> = EDGES
        .iter()
        .map(|(name, list)| ((*name).to_owned(), list.iter().map(|d| (*d).to_owned()).collect()))
        .collect();
    assert_eq!(real, stated, "the crate graph changed: change EDGES and ARCHITECTURE.md with it");
}

#[test]
fn each_heavy_dependency_has_one_owner() {
    for (name, list) in dependencies() {
        for (dependency, _) in list {
            for (prefix, owner) in OWNERS {
                assert!(
                    !dependency.starts_with(prefix) || name == *owner,
                    "{name} names {dependency}, which only {owner} may"
                );
            }
        }
    }
}

#[test]
fn one_arrow_and_one_sql_parser() {
    let packages = metadata(&[]);
    for wanted in ["arrow", "arrow-array", "sqlparser"] {
        let versions: BTreeSet<&str> = packages["packages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|p| p["name"] == wanted)
            .filter_map(|p| p["version"].as_str())
            .collect();
        assert_eq!(versions.len(), 1, "{wanted}: {versions:?}; two do not share types");
    }
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let policy: toml::Table =
        fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let allowed: BTreeSet<&str> = policy["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l.as_str().unwrap())
        .collect();
    let packages = metadata(&[]);
    let packages = packages["packages"].as_array().unwrap();
    for package in packages {
        let name = &package["name"];
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{name}: no licence"));
        assert!(allows(&allowed, licence), "{name}: deny.toml does not allow `{licence}`");
    }
    assert!(packages.len() > 300, "only {} packages", packages.len());
}

/// Whether an SPDX expression can be met: one side of each OR (`/` in old manifests), all of each AND.
fn allows(allowed: &BTreeSet<&str>, licence: &str) -> bool {
    licence
        .replace(['(', ')'], "")
        .split(" AND ")
        .all(|part| part.replace('/', " OR ").split(" OR ").any(|one| allowed.contains(one.trim())))
}

#[test]
fn every_crate_takes_the_workspace_lints_and_forbids_unsafe() {
    for manifest in files("toml").into_iter().filter(|f| f.ends_with("Cargo.toml")) {
        let text = fs::read_to_string(&manifest).unwrap();
        if text.contains("[package]") {
            assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
        }
    }
    // The one room with `unsafe`: what the Kafka client lends, read under the borrow of its message.
    let unsafe_room = root().join("ingest/src/kafka/headers.rs");
    for file in files("rs") {
        let text = fs::read_to_string(&file).unwrap();
        if file.ends_with("src/lib.rs") {
            let ingest = file.starts_with(root().join("ingest/src"));
            let attribute =
                if ingest { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
            assert!(text.contains(attribute), "{}", file.display());
        }
        let allows = text.contains("allow(unsafe_code") && !file.ends_with("tidy.rs");
        assert_eq!(allows, file == unsafe_room, "{}", file.display());
    }
    let text = fs::read_to_string(unsafe_room).unwrap();
    assert_eq!(text.matches("unsafe {").count(), text.matches("SAFETY").count());
}

#[test]
fn every_source_file_says_what_it_is_and_stays_one_room() {
    for file in files("rs") {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} has no `//!` header", file.display());
        assert!(text.lines().count() <= 620, "{} is past 620 lines", file.display());
        assert!(!file.ends_with("mod.rs"), "{}: foo.rs beside foo/, not mod.rs", file.display());
    }
}

#[test]
fn the_tests_that_hold_an_attack_are_there() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = page.split("## Held under attack").nth(1).unwrap().split("\n## ").next().unwrap();
    let sources: Vec<String> =
        files("rs").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut rows = 0;
    for row in section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        rows += 1;
        let names: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            let test = format!("fn {name}(");
            assert!(sources.iter().any(|text| text.contains(&test)), "there is no test {name}");
        }
    }
    assert_eq!(rows, 13);
}

#[test]
fn one_command_writes_every_golden() {
    let list = fs::read_to_string(root().join(".ci/xtask/src/bless.rs")).unwrap();
    let names: Vec<&str> =
        list.lines().filter_map(|l| l.trim().strip_prefix("(\"")?.split('"').next()).collect();
    let mut covered: BTreeSet<&str> = BTreeSet::new();
    for file in files("rs").into_iter().filter(|f| !f.starts_with(root().join(".ci"))) {
        let text = fs::read_to_string(&file).unwrap();
        let asks = text.contains("var_os(\"UPDATE_EXPECT\")") || text.contains("expect![[");
        if !asks || file.ends_with("tidy.rs") {
            continue;
        }
        let module = format!("{}::", file.file_stem().unwrap().to_string_lossy());
        let own: Vec<&&str> =
            names.iter().filter(|n| **n == module || text.contains(&format!("fn {n}("))).collect();
        assert!(!own.is_empty(), "`cargo xtask bless` runs no test of {}", file.display());
        covered.extend(own);
    }
    assert_eq!(covered.len(), names.len(), "{names:?} are not all there: {covered:?}");
}

#[test]
fn a_rule_or_mapping_file_is_named_by_its_id() {
    for (folder, cut) in [("rules", "rules/"), ("ingest/mappings", "ingest/mappings/")] {
        for file in files("sql") {
            let path = file.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            let Some(below) = path.strip_prefix(cut) else { continue };
            let expected = below.trim_end_matches(".sql").replace('/', ".");
            let text = fs::read_to_string(&file).unwrap();
            let id = text.lines().find_map(|l| l.strip_prefix("id: ")).map(str::trim);
            assert_eq!(id, Some(expected.as_str()), "{folder}: {path}");
        }
    }
}

/// Every tracked kind of file by extension, build output excluded.
pub(crate) fn files(extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", "node_modules", "data", "dist"].contains(&name.as_str()) {
                    walk(&path, extension, found);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), extension, &mut found);
    found.sort();
    found
}

//! Settings from text: units, places of mistakes, layers, and what is never shown.

mod outside;

use std::fs;

use sluice_rule::Diagnostic;

use super::{Layers, Loaded};

const GOOD: &str = r#"
data_dir = "./data"
[api]
listen = "127.0.0.1:7777"
[sources.okta]
mapping = "okta.system"
kafka = { brokers = "127.0.0.1:9092", topics = ["okta"], group = "sluice", start = "earliest" }
[sources.okta.kafka.librdkafka]
"fetch.wait.max.ms" = "50"
[sources.push]
mapping = "auto"
http = {}
"#;

fn read(text: &str) -> Loaded {
    Layers::of_text("sluice.toml", text)
}

/// The problems of a text, with a source that has none.
fn problems(text: &str) -> Vec<Diagnostic> {
    let text = format!("{text}\n[sources.a_good_one]\nhttp = {{}}\n");
    read(&text).problems.into_iter().map(|p| p.diagnostic).collect()
}

/// The one problem of a text: what, where (line, column) and its help, detail first.
#[track_caller]
fn problem(text: &str) -> (String, Option<(u32, u32)>, String) {
    let mut found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = found.remove(0);
    let help = [found.detail, found.hint].into_iter().flatten().collect::<Vec<_>>().join("; ");
    (found.primary, found.span.map(|s| (s.line, s.column)), help)
}

#[track_caller]
fn check(text: &str, primary: &str, place: (u32, u32), help: &str) {
    let found = problem(text);
    assert!(found.0.contains(primary), "{found:?}");
    assert_eq!(found.1, Some(place), "{found:?}");
    assert!(found.2.contains(help), "{found:?}");
}

#[test]
fn an_input_has_no_name_of_the_services_own() {
    let text = "[sources.dead-letters]\nmapping = \"okta.system\"\nhttp = {}\n";
    check(text, "is the input of replayed dead letters", (2, 11), "another name");
}

#[test]
fn the_example_of_the_documentation() {
    let loaded = read(GOOD);
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    let config = loaded.config;
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:7777");
    let okta = config.sources["okta"].kafka.as_ref().unwrap();
    assert_eq!(config.sources["okta"].mapping, "okta.system");
    assert_eq!(
        (okta.brokers.0.as_str(), okta.topics.as_slice()),
        ("127.0.0.1:9092", &["okta".to_owned()][..])
    );
    assert_eq!(okta.librdkafka.get("fetch.wait.max.ms"), Some("50"));
    assert!(config.sources["push"].http.is_some() && config.sources["push"].kafka.is_none());
    assert_eq!((config.engine.checkpoint_every.0, config.engine.commit_every.0), (2_000, 20));
    assert_eq!(config.retention.finding_bytes.0, 10 << 30);
}

#[test]
fn every_key_but_the_sources_is_optional() {
    assert!(problems("").is_empty());
    let none = read("").problems;
    assert_eq!(none.len(), 1);
    assert_eq!(none[0].diagnostic.primary, "there is no source");
}

#[test]
fn what_is_wrong_with_a_value_is_said_where_it_stands() {
    check("[api]\nlistne = \"x\"", "no setting `api.listne`", (2, 1), "did you mean `listen`?");
    check("[engnie]\n", "no setting `engnie`", (1, 2), "did you mean `engine`?");
    check("[engine]\ncheckpoint_every = 10", "needs its unit", (2, 20), "\"10s\" are seconds");
    check("[engine]\nmin_free = 64", "needs its unit", (2, 12), "\"64MiB\" mebibytes");
    check("[engine]\nmin_free = \"64 mb\"", "`64 mb` is not a size", (2, 12), "MiB");
    check("[engine]\nlateness = \"5x\"", "`5x` is not a duration", (2, 12), "1h30m");
    check("[engine]\nworkers = 0", "whole number from 1", (2, 11), "4");
    check("[engine]\nworkers = 1.5", "whole number from 1", (2, 11), "4");
    check("[engine]\nhistory = \"+5m\"", "`+5m` is not a time", (2, 11), "first_event");
    check("[log]\nformat = \"jsn\"", "`jsn`", (2, 10), "did you mean `json`?");
    check("[log]\nformat = true", "this is true or false", (2, 10), "text, json");
    check("[api]\ninsecure = \"yes\"", "a string", (2, 12), "true or false, without quotes");
    check("[api]\nlisten = \"localhost\"", "not an address with a port", (2, 10), "[::1]:7777");
    check("rules = \"builtin\"", "a list is needed", (1, 9), "[\"a\", \"b\"]");
    check("api = 3", "`api` is a table", (1, 7), "[api]");
    check("[data_dir]\nx = 1", "`data_dir` is not a table", (1, 2), "data_dir = ..");
    check("[log]\nlevel = \"info", "invalid basic string", (2, 14), "");
    check(
        "[log]\nlevel = \"info\"\n[log]\nlevel = \"warn\"",
        "given twice",
        (4, 1),
        "sluice.toml:2",
    );
    check("[sources.\"a b\"]\nhttp = {}", "`a b` cannot be the name", (1, 10), "letters, digits");
    check("[sources.x]\n", "where its records come from", (1, 10), "http = {}");
    check(
        "[sources.x]\nhttp = {}\nkafka = {brokers=\"h:1\",topics=[\"t\"]}",
        "both",
        (1, 10),
        "one kind",
    );
    check("[sources.x]\nfile = \"y\"", "reads no files", (1, 10), "sluice eval FILE");
    check("[sources.x]\nkafka = { topics = [\"t\"] }", "has no `brokers`", (1, 10), "host:9092");
    check(
        "[sources.x.kafka]\nbrokers = \"h:99999\"\ntopics = [\"t\"]",
        "`h:99999`",
        (2, 11),
        "host:port",
    );
    check(
        "[sources.x.kafka]\nbrokers = \"h:1\"\ntopics = [\"a b\"]",
        "`a b` cannot be",
        (3, 10),
        "^",
    );
    check(
        "[sources.x.kafka]\nbrokers = \"h:1\"\ntopics = [\"t\"]\nstart = \"yesterday\"",
        "`yesterday` is not a start",
        (4, 9),
        "earliest",
    );
}

#[test]
fn a_mistake_hides_no_other() {
    let text = "dat_dir = 1\n[api]\nlisten = 5\n[engine]\nworkers = \"\n[log]\nlevel = \"loud\"";
    let places: Vec<Option<u32>> =
        problems(text).iter().map(|p| p.span.map(|span| span.line)).collect();
    for line in [1, 3, 5, 7] {
        assert!(places.contains(&Some(line)), "nothing about line {line}: {places:?}");
    }
}

#[test]
fn settings_that_do_not_go_together() {
    check(
        "[api]\nlisten = \"0.0.0.0:7777\"",
        "other machines can reach",
        (2, 10),
        "insecure = true",
    );
    assert!(problems("[api]\nlisten = \"0.0.0.0:7777\"\ninsecure = true").is_empty());
    check("[engine]\ncheckpoint_every = \"50ms\"", "below 100ms", (2, 20), "100ms");
    check("[hunts]\ndeadline = \"1m\"", "ended after 30 s", (2, 12), "less than");
    check("[history]\ntable_bytes = \"1kB\"", "below 1 MiB", (2, 15), "1MiB");
    let kafka = |options: &str| {
        format!(
            "[sources.x.kafka]\nbrokers = \"h:1\"\ntopics = [\"t\"]\n[sources.x.kafka.librdkafka]\n{options}"
        )
    };
    check(&kafka("\"fetch.max.bytes\" = 100000000"), "over 100000000", (5, 21), "+ 512 <=");
    check(
        &kafka("\"session.timeout.ms\" = 400000"),
        "less than session.timeout",
        (5, 24),
        "larger",
    );
    check(&kafka("\"heartbeat.interval.ms\" = 20000"), "heartbeats", (5, 27), "three");
    check(&kafka("\"max.poll.interval.ms\" = \"60000\""), "costs this process", (5, 26), "300000");
    check(&kafka("\"auto.offset.reset\" = \"latest\""), "not yours", (5, 23), "`start`");
    check(&kafka("\"group.id\" = \"x\""), "not yours", (5, 14), "`group`");
    check(&kafka("a.b = 1"), "is a table", (5, 1), "in quotes");
    let two = "[sources.x.kafka]\nbrokers = \"h:1\"\ntopics = [\"t\", \"u\"]\n\
               [sources.y.kafka]\nbrokers = \"h:1\"\ntopics = [\"u\"]";
    check(two, "`x` reads topic `u` in group `sluice` too", (6, 10), "another `group`");
    assert!(problems(&format!("{two}\ngroup = \"other\"")).is_empty());
}

#[test]
fn a_bound_below_the_default_is_judged_with_it() {
    // The default of the interval is 300000, of the session 45000.
    let text = "[sources.x.kafka]\nbrokers = \"h:1\"\ntopics = [\"t\"]\nlibrdkafka = \
                {\"max.poll.interval.ms\" = \"100000\", \"session.timeout.ms\" = \"90000\"}";
    assert!(problems(text).is_empty(), "{:#?}", problems(text));
}

/// Layers of files in a scratch folder and of an environment.
fn layers(files: &[(&str, &str)], env: &[(&str, &str)]) -> (tempfile::TempDir, Layers) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let layers = Layers {
        optional: ["etc/sluice.toml", "home/sluice.toml"]
            .iter()
            .map(|p| dir.path().join(p))
            .collect(),
        named: Some(dir.path().join("sluice.toml")),
        env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        flags: Vec::new(),
    };
    (dir, layers)
}

#[track_caller]
fn from(loaded: &Loaded, path: &str) -> (String, String) {
    let found = loaded.effective.iter().find(|e| e.path == path);
    let found = found.unwrap_or_else(|| panic!("no {path} in {:#?}", loaded.effective));
    let origin = found.origin.as_ref().map_or("default".to_owned(), ToString::to_string);
    let file = origin.rsplit_once('/').map_or(origin.clone(), |(_, file)| file.to_owned());
    (found.value.to_string(), file)
}

#[test]
fn stronger_layers_win_leaf_by_leaf() {
    let (_dir, layers) = layers(
        &[
            (
                "etc/sluice.toml",
                "data_dir = \"/etc\"\n[api]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"",
            ),
            ("etc/conf.d/b.toml", "[log]\nlevel = \"debug\""),
            ("etc/conf.d/a.toml", "[log]\nlevel = \"error\"\nformat = \"json\""),
            ("home/sluice.toml", "[api]\nlisten = \"127.0.0.1:2\"\nmax_connections = 5"),
            ("sluice.toml", "[api]\nlisten = \"127.0.0.1:3\"\n[sources.in-put]\nhttp = {}"),
        ],
        &[
            ("SLUICE_API__MAX_CONNECTIONS", "7"),
            ("SLUICE_RULES", "builtin, ./rules"),
            ("SLUICE_SOURCES__IN_PUT__MAPPING", "okta.system"),
            ("SLUICE_LOG", "debug"),
            ("SLUICE_TOKEN", "secret"),
        ],
    );
    let loaded =
        Loaded::read(&layers.flag("--listen", "api.listen", Some("127.0.0.1:4".to_owned())));
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    let is = |path: &str, value: &str, origin: &str| {
        assert_eq!(from(&loaded, path), (value.to_owned(), origin.to_owned()), "{path}");
    };
    is("data_dir", "\"/etc\"", "sluice.toml:1");
    is("log.level", "\"debug\"", "b.toml:2");
    is("log.format", "\"json\"", "a.toml:3");
    is("api.max_connections", "7", "env SLUICE_API__MAX_CONNECTIONS");
    is("api.listen", "\"127.0.0.1:4\"", "flag --listen");
    is("rules", "[\"builtin\",\"./rules\"]", "env SLUICE_RULES");
    is("sources.in-put.mapping", "\"okta.system\"", "env SLUICE_SOURCES__IN_PUT__MAPPING");
    is("engine.checkpoint_every", "\"2s\"", "default");
}

#[test]
fn variables_and_files_that_are_wrong() {
    let (dir, mut layers) = layers(
        &[("sluice.toml", GOOD)],
        &[("SLUICE_API__LISTNE", "x"), ("SLUICE_DATADIR", "x"), ("SLUICE_ENGINE__WORKERS", "many")],
    );
    let said: Vec<(String, String)> = Loaded::read(&layers)
        .problems
        .into_iter()
        .map(|p| (p.diagnostic.path, p.diagnostic.primary))
        .collect();
    let said: Vec<(&str, &str)> = said.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert!(said.contains(&(
        "environment variable SLUICE_API__LISTNE",
        "there is no setting `api.listne`"
    )));
    assert!(
        said.contains(&("environment variable SLUICE_DATADIR", "SLUICE_DATADIR is not a setting"))
    );
    assert!(said.iter().any(|(path, what)| path.ends_with("WORKERS") && what.contains("from 1")));
    assert_eq!(said.len(), 3, "{said:?}");

    layers.env.clear();
    layers.named = Some(dir.path().join("nothing.toml"));
    let said = Loaded::read(&layers).problems;
    assert!(said.iter().any(|p| p.diagnostic.primary == "there is no such file"), "{said:#?}");
    fs::write(dir.path().join("nothing.toml"), b"\xff\xfe").unwrap();
    let said = Loaded::read(&layers).problems;
    assert!(said.iter().any(|p| p.diagnostic.primary.starts_with("cannot read it")), "{said:#?}");
}

const CANARY: &str = "c4n4ry";

/// Everything that is shown of a configuration: settings, problems with their lines, `Debug`.
fn shown(loaded: &Loaded) -> String {
    let problems: String =
        loaded.problems.iter().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    format!("{:?}{problems}{:?}", loaded.effective, loaded.config)
}

#[test]
fn secrets_are_refused_in_the_file_and_never_shown() {
    let texts = [
        "[sources.x.kafka.librdkafka]\n\"sasl.password\" = \"c4n4ry\"",
        "[sources.x.kafka.librdkafka]\n\"sasl.pasword\" = \"c4n4ry\"",
        "[sources.x.kafka.librdkafka]\n\"ssl.key.pem\" = \"\"\"\nbegin\nc4n4ry\nend\n\"\"\"\n\"ssl.key.pem\" = 1",
        "[sources.x.kafka.librdkafka]\n\"sasl.oauthbearer.config\" = 'c4n4ry'",
        "[sources.x.kafka.librdkafka]\n\"sasl.password\" = \"c4n4ry",
        "[sources.x.kafka]\nbrokers = \"user:c4n4ry@h:1\"",
        "[sources.x]\nkafka = { brokers = \"user:c4n4ry@h:1\", tpics = [] }",
        "[sources.x]\nkafka = { librdkafka = { \"sasl.password\" = \"c4n4ry\" }, grup = 1 }",
        // Secrets by their looks, wherever they stand.
        "[sources.x.kafka.librdkafka]\n\"http.proxy\" = \"password=c4n4ry\"",
        "[sources.x.kafka.librdkafka]\n\"client.rack\" = \"pwd:c4n4ry\"\n\"group.id\" = \"x\"",
        "[sources.x.kafka.librdkafka]\n\"client.rack\" = \"slc_c4n4ry\"",
        "[sources.x.kafka.librdkafka]\n\"client.rack\" = \"-----BEGIN PRIVATE KEY-----\\nc4n4ry\"",
        "[sources.x.kafka.librdkafka]\n\"client.rack\" = \"\"\"\n-----BEGIN PRIVATE KEY-----\nc4n4ry\n-----END PRIVATE KEY-----\n\"\"\"",
        "[sources.x.kafka.librdkafka]\n\"client.rack\" = \"http://u:c4n4ry@h/${env:X}\"",
        "-----BEGIN RSA PRIVATE KEY-----\nc4n4ry/c4n4ry=\n-----END RSA PRIVATE KEY-----",
        "[api]\nlisten = \"slc_c4n4ry\"",
        "[api]\nlsten = \"eyJhbGciOiJub25lIn0.c4n4ry.x\"",
        "[api]\nslc_c4n4ry = 1",
    ];
    for text in texts {
        let loaded = read(text);
        assert!(loaded.has_errors(), "{text}");
        assert!(!shown(&loaded).contains(CANARY), "{text}\n{}", shown(&loaded));
    }
}

#[test]
fn references_are_followed_only_where_they_are_needed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    fs::write(&file, format!("{CANARY}\n")).unwrap();
    let text = format!(
        "[sources.x]\nkafka = {{ brokers = \"h:1\", topics = [\"t\"] }}\n[sources.x.kafka.librdkafka]\n\
         \"sasl.password\" = \"${{env:PASSWORD}}\"\n\"ssl.key.password\" = \"file:{}\"\n",
        file.display()
    );
    let mode = |mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        read(&text).problems.iter().map(|p| p.diagnostic.level.name()).collect::<Vec<_>>()
    };
    assert_eq!(mode(0o644), ["error"], "everybody reads the key");
    assert_eq!(mode(0o640), ["warning"], "the group reads the key");
    assert!(mode(0o600).is_empty());

    let loaded = read(&text);
    assert_eq!(
        from(&loaded, "sources.x.kafka.librdkafka.\"sasl.password\"").0,
        "\"${env:PASSWORD}\""
    );
    let options = &loaded.config.sources["x"].kafka.as_ref().unwrap().librdkafka;
    let resolved = options.resolve(|name| (name == "PASSWORD").then(|| CANARY.to_owned())).unwrap();
    assert_eq!(resolved["sasl.password"].reveal(), CANARY);
    assert_eq!(resolved["ssl.key.password"].reveal(), CANARY, "without the line break");
    assert!(!format!("{resolved:?}{}", shown(&loaded)).contains(CANARY));
    let unset = options.resolve(|_| None).unwrap_err();
    assert_eq!(unset[0].primary, "the environment variable PASSWORD is not set");
    fs::remove_file(&file).unwrap();
    assert_eq!(options.resolve(|_| None).unwrap_err().len(), 2, "both are told at once");
}

#[test]
fn the_schema_says_what_every_setting_does() {
    fn walk(path: &str, schema: &serde_json::Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let text = property["description"].as_str().unwrap_or("");
            assert!(text.len() > 10, "{path}.{name} says nothing");
            walk(&format!("{path}.{name}"), property);
        }
    }
    let schema = super::json_schema();
    walk("", &schema);
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["engine"]["properties"]["checkpoint_every"]["default"], "2s");
    let source = &schema["properties"]["sources"]["additionalProperties"]["properties"];
    assert_eq!(source["kafka"]["properties"]["group"]["default"], "sluice");
}

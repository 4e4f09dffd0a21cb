//! The description: what is committed is what is served, every operation has an example, and every
//! parameter it names is taken.

use std::path::Path;

use super::{
    super::{openapi, router},
    *,
};

const METHODS: [&str; 5] = ["get", "post", "patch", "put", "delete"];

/// Every (method, path) of the served description.
pub(super) fn operations(fixture: &Fixture) -> Vec<(String, String)> {
    let api = fixture.get("/api/v1/openapi.json").is(200).json();
    let paths = api["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = METHODS.iter().filter(|m| item.get(**m).is_some());
            methods.map(|m| (m.to_uppercase(), path.clone()))
        })
        .collect()
}

fn made() -> String {
    openapi::text(&openapi::complete(router::routes().split_for_parts().1))
}

#[test]
fn the_committed_description_is_the_one_made_from_the_handlers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, made()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == made(), "api/openapi.json is behind: run with UPDATE_EXPECT=1");
}

#[test]
fn it_is_openapi_3_1_and_every_operation_is_complete() {
    let api: Value = serde_json::from_str(&made()).unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in METHODS.iter().filter_map(|m| Some((m, item.get(*m)?))) {
            let what = format!("{method} {path}");
            for field in ["operationId", "summary", "tags", "security", "responses"] {
                assert!(operation.get(field).is_some(), "{what}: no {field}");
            }
            let has_example = |content: &Value| {
                content.as_object().unwrap().values().any(|m| m.get("example").is_some())
            };
            let good = operation["responses"].as_object().unwrap();
            let good = good.iter().find(|(status, _)| status.starts_with('2'));
            assert!(has_example(&good.unwrap().1["content"]), "{what}: no example of the answer");
            if let Some(body) = operation.get("requestBody") {
                assert!(has_example(&body["content"]), "{what}: no example of the body");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, api: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    let pointer = to.strip_prefix('#').unwrap();
                    assert!(api.pointer(pointer).is_some(), "{to}");
                }
                map.values().for_each(|v| walk(v, api));
            }
            Value::Array(list) => list.iter().for_each(|v| walk(v, api)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let api = serde_json::from_str(&made()).unwrap();
    walk(&api, &api);
}

#[test]
fn unknown_parameters_and_fields_are_named_in_the_refusal() {
    let fixture = Fixture::new();
    for path in [
        "/api/v1/findings?severtiy=high",
        "/api/v1/findings/stream?severtiy=high",
        "/api/v1/dead-letters?severtiy=high",
        "/api/v1/rules?severtiy=high",
        "/api/v1/sources?severtiy=high",
        "/api/v1/status?severtiy=high",
        "/api/v1/entities?severtiy=high",
        "/api/v1/entities/user/x?severtiy=high",
        "/api/v1/risk/user/x?severtiy=high",
        "/api/v1/incidents?severtiy=high",
        "/api/v1/suppressions?severtiy=high",
    ] {
        let problem = fixture.get(path).is(400).problem("invalid_parameter");
        assert!(problem["detail"].as_str().unwrap().contains("severtiy"), "{path}: {problem}");
    }
    for path in [
        "/api/v1/findings/bulk",
        "/api/v1/hunts",
        "/api/v1/dead-letters/replay",
        "/api/v1/dead-letters/drop",
        "/api/v1/risk/query",
        "/api/v1/suppressions",
    ] {
        let body = serde_json::json!({"severtiy": 1});
        let problem = fixture.post(path, body).is(400).problem("invalid_body");
        assert!(problem["detail"].as_str().unwrap().contains("severtiy"), "{path}: {problem}");
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_nothing_inline() {
    let fixture = Fixture::new();
    let page = fixture.send(None, "GET", "/api/v1/docs", &[], b"").is(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = page.text();
    for forbidden in ["http://", "https://", "<style", "style=", "onclick", "<script>"] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    let script = fixture.send(None, "GET", "/api/v1/docs/docs.js", &[], b"").is(200);
    assert!(script.header("content-type").starts_with("text/javascript"));
    for forbidden in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "http://", "https://"]
    {
        assert!(!script.text().contains(forbidden), "{forbidden}");
    }
    let style = fixture.send(None, "GET", "/api/v1/docs/docs.css", &[], b"").is(200);
    assert!(style.header("content-type").starts_with("text/css"));
}

/// The operations that take a JSON object, with the example of it.
fn with_bodies(fixture: &Fixture) -> Vec<(String, String, Value)> {
    let api = fixture.get("/api/v1/openapi.json").is(200).json();
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in METHODS {
            let body = &item[method]["requestBody"]["content"]["application/json"]["example"];
            if body.is_object() {
                let path = path.replace("{kind}", "user");
                let path = path.replace("{id}", &"0".repeat(32)).replace("{stream}", "s");
                found.push((method.to_uppercase(), path, body.clone()));
            }
        }
    }
    found
}

/// The document with one of its objects as the array of its values, for each object in it.
fn with_an_array(document: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match document {
        Value::Object(fields) => {
            all.push(fields.values().cloned().collect());
            for (name, value) in fields {
                all.extend(with_an_array(value).into_iter().map(|inner| {
                    let mut outer = fields.clone();
                    outer.insert(name.clone(), inner);
                    Value::Object(outer)
                }));
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                all.extend(with_an_array(value).into_iter().map(|inner| {
                    let mut outer = items.clone();
                    outer[at] = inner;
                    Value::Array(outer)
                }));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}

#[test]
fn row_12_an_array_is_never_taken_for_an_object() {
    let fixture = Fixture::new();
    let (mut documents, mut nested) = (0, 0);
    for (method, path, example) in with_bodies(&fixture) {
        let sequence = serde_json::json!([null, null, null, null, true]);
        let arrays = [sequence, serde_json::json!([])].into_iter().chain(with_an_array(&example));
        for body in arrays {
            nested += usize::from(body.is_object());
            documents += 1;
            let what = format!("{method} {path} {body}");
            let answer = fixture.ask(Role::Admin, &method, &path, Some(body));
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
            let problem = answer.problem("invalid_body");
            assert!(problem["detail"].as_str().unwrap().contains("sequence"), "{what}: {problem}");
        }
    }
    assert!(documents >= 30 && nested >= 1, "{documents} documents, {nested} nested");
}

#[test]
fn row_12_a_field_given_twice_is_refused() {
    let fixture = Fixture::new();
    let token = Some(fixture.secrets[&Role::Admin].as_str());
    let headers = [("content-type", "application/json")];
    for (path, body) in [
        ("/api/v1/dead-letters/drop", r#"{"all": false, "all": true}"#),
        ("/api/v1/hunts", r#"{"sql": "SELECT 1 AS a", "sql": "SELECT 2 AS a"}"#),
    ] {
        let answer = fixture.send(token, "POST", path, &headers, body.as_bytes()).is(400);
        let problem = answer.problem("invalid_body");
        assert!(problem["detail"].as_str().unwrap().contains("duplicate field"), "{problem}");
    }
}

/// The names under which the types of a source file are in the description.
fn schema_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut described: Option<Option<String>> = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[derive(") && line.contains("ToSchema") {
            described = Some(None);
        }
        let given = line.strip_prefix("#[schema(as = ").and_then(|l| l.strip_suffix(")]"));
        if let (Some(given), Some(name)) = (given, &mut described) {
            *name = Some(given.to_owned());
        }
        let item = line.split_once("struct ").or_else(|| line.split_once("enum "));
        let item = item.filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        if let (Some((_, rest)), Some(name)) = (item, described.take_if(|_| item.is_some())) {
            let own = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            names.push(name.unwrap_or_else(|| own.to_owned()));
        }
    }
    names
}

#[test]
fn no_two_types_have_one_name_in_the_description() {
    let two = "#[derive(ToSchema)]\n#[schema(as = A)]\npub struct X {\n}\n#[derive(Debug, ToSchema)]\nenum B {}";
    assert_eq!(schema_names(two), ["A", "B"]);
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.display().to_string();
            for name in schema_names(&std::fs::read_to_string(&path).unwrap()) {
                // The description has one of them, for both.
                let other = seen.insert(name.clone(), file.clone());
                assert_eq!(
                    other, None,
                    "`{name}` is a type of {file} too: give it `schema(as = ..)`"
                );
            }
        }
    }
    let api: Value = serde_json::from_str(&made()).unwrap();
    let described = api["components"]["schemas"].as_object().unwrap();
    let missing: Vec<_> = described.keys().filter(|name| !seen.contains_key(*name)).collect();
    assert!(seen.len() >= 60 && missing.is_empty(), "{} found, not {missing:?}", seen.len());
}

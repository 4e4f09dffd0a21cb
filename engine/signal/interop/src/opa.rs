//! The data API of Open Policy Agent, as far as levels are written to it, in front of `regorus`, which decides by
//! the data there is. OPA itself is in none of the registries that packages come from.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::put,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{Outcome, wait};

/// Where levels are written.
pub const PATH: &str = "/v1/data/sluice/risk";
/// What whoever writes them shows.
pub const AUTHORIZATION: &str = "Bearer of-opa";
const POLICY: &str = "package gate
deny if data.sluice.risk.user[lower(input.user)].level == \"high\"
";

type Document = Arc<Mutex<Option<Value>>>;

/// The agent.
pub struct Opa {
    document: Document,
}

impl Opa {
    pub fn start(runtime: &Runtime, port: u16) -> Outcome<Opa> {
        let document = Document::default();
        let app = Router::new().route(PATH, put(replace).patch(patch)).with_state(document.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", port)))?;
        runtime.spawn(async move { axum::serve(listener, app).await });
        Ok(Opa { document })
    }

    /// Waits until the policy decides so about a user.
    pub fn decides(&self, user: &str, denied: bool) -> Outcome<()> {
        wait(&format!("decision of regorus: {user} denied = {denied}"), || {
            Ok(self.denies(user)? == denied)
        })
    }

    fn denies(&self, user: &str) -> Outcome<bool> {
        let risk = self.document.lock().map_err(|_| "poisoned")?.clone();
        let risk = risk.ok_or("nothing was written to the agent")?;
        let value = |json: Value| regorus::Value::from_json_str(&json.to_string());
        let mut engine = regorus::Engine::new();
        engine.add_policy("gate.rego".to_owned(), POLICY.to_owned())?;
        engine.add_data(value(json!({"sluice": {"risk": risk}}))?)?;
        engine.set_input(value(json!({"user": user}))?);
        Ok(engine.eval_rule("data.gate.deny".to_owned())? == regorus::Value::from(true))
    }
}

fn is_allowed(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == AUTHORIZATION)
}

async fn replace(
    State(document): State<Document>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    if let Ok(mut document) = document.lock() {
        *document = Some(body);
    }
    StatusCode::NO_CONTENT
}

/// JSON Patch (RFC 6902) with `add` and `remove`.
async fn patch(State(document): State<Document>, headers: HeaderMap, body: String) -> StatusCode {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    let applied = document.lock().ok().and_then(|mut document| {
        let mut changed = document.clone()?;
        let operations: Vec<Value> = serde_json::from_str(&body).ok()?;
        for operation in &operations {
            let (parent, name) = operation["path"].as_str()?.rsplit_once('/')?;
            let name = name.replace("~1", "/").replace("~0", "~");
            let parent = changed.pointer_mut(parent)?.as_object_mut()?;
            match operation["op"].as_str()? {
                "add" => drop(parent.insert(name, operation["value"].clone())),
                "remove" => drop(parent.remove(&name)?),
                _ => return None,
            }
        }
        *document = Some(changed);
        Some(())
    });
    applied.map_or(StatusCode::NOT_FOUND, |()| StatusCode::NO_CONTENT)
}

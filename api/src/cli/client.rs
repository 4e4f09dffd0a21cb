//! The client of a running server, for verbs that act on one. Not the server (see `http`).

use std::time::Duration;

use clap::Args;
use serde_json::Value as Json;
use ureq::Agent;

use super::exit::Failure;

/// Where the server is. Its token comes from the environment variable SLUICE_TOKEN: arguments are
/// seen by everybody on the machine.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    /// The running server; default: what SLUICE_URL says, else http://127.0.0.1:7777.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Requests to one server.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

/// A longer answer is not one of ours.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

impl Client {
    /// A client of the server that the arguments name; nothing is sent yet.
    ///
    /// # Errors
    /// If that is no URL.
    pub(crate) fn new(server: &ServerArgs) -> Result<Client, Failure> {
        let url = server
            .url
            .clone()
            .or_else(|| std::env::var("SLUICE_URL").ok())
            .unwrap_or_else(|| "http://127.0.0.1:7777".to_owned());
        let url = url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::argument(
                format!("`{url}` is not the URL of a server"),
                "http://127.0.0.1:7777",
            ));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(300)))
            // A redirect would carry the token to somebody else.
            .max_redirects(0)
            .build();
        let token = std::env::var("SLUICE_TOKEN").ok().filter(|t| !t.trim().is_empty());
        Ok(Client { agent: config.into(), url, token })
    }

    /// Where it sends to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// GET of a path below `/api/v1`.
    ///
    /// # Errors
    /// If nobody answers, or with what the server says.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Json, Failure> {
        let mut request = self.agent.get(format!("{}/api/v1{path}", self.url));
        for (name, value) in query {
            request = request.query(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        self.answer(request.call())
    }

    /// POST of a JSON body to a path below `/api/v1`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn post(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        let mut request = self
            .agent
            .post(format!("{}/api/v1{path}", self.url))
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        self.answer(request.send(body.to_string()))
    }

    /// PUT of a JSON body to the path below `/api/v1` that these parts make, each escaped.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn put(&self, path: &[&str], body: &Json) -> Result<Json, Failure> {
        let mut request =
            self.agent.put(self.below(path)).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        self.answer(request.send(body.to_string()))
    }

    /// DELETE of the path below `/api/v1` that these parts make, each escaped.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn delete(&self, path: &[&str], query: &[(&str, String)]) -> Result<Json, Failure> {
        let mut request = self.agent.delete(self.below(path));
        for (name, value) in query {
            request = request.query(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        self.answer(request.call())
    }

    /// The URL of parts of a path: what is not unreserved (RFC 3986) is escaped, so that each stays one.
    fn below(&self, path: &[&str]) -> String {
        let mut url = format!("{}/api/v1", self.url);
        for part in path {
            url.push('/');
            for byte in part.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        url.push(char::from(byte));
                    }
                    other => url.push_str(&format!("%{other:02X}")),
                }
            }
        }
        url
    }

    fn answer(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Json, Failure> {
        let url = &self.url;
        let mut response = sent.map_err(|error| {
            Failure::argument(
                format!("no server answers at {url}: {error}"),
                "`sluice run` starts one; --url or SLUICE_URL says where it is",
            )
        })?;
        let status = response.status().as_u16();
        let read = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
        let body = read.map_err(|error| {
            Failure::argument(format!("the answer of {url} broke off: {error}"), "try again")
        })?;
        let json: Option<Json> = serde_json::from_str(&body).ok();
        if (200..300).contains(&status) {
            return json.ok_or_else(|| {
                Failure::argument(
                    format!("{url} answers, but not as Sluice does"),
                    "--url or SLUICE_URL names another server",
                )
            });
        }
        Err(refused(url, status, json.as_ref(), self.token.is_some()))
    }
}

/// The failure behind a status, in the words of the server's problem document.
fn refused(url: &str, status: u16, problem: Option<&Json>, with_token: bool) -> Failure {
    let word = |key: &str| problem.and_then(|p| p.get(key)?.as_str());
    let said = match (word("title"), word("detail")) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => format!("status {status}"),
    };
    let hint = match status {
        401 if with_token => "the token in SLUICE_TOKEN is unknown, revoked or expired",
        401 => "SLUICE_TOKEN=.. ; `sluice token create --data-dir D --role ..` makes a token",
        403 => "the role of this token does not allow it",
        404 => {
            "`sluice dlq list`, `sluice signal streams`, `sluice quarantine list` and `sluice webhook list` show what is there"
        }
        429 | 503 => "try again in a moment",
        _ => word("hint").unwrap_or("the server's log says more"),
    };
    Failure::argument(format!("{url} refuses: {said}"), hint)
}

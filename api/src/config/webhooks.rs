//! Settings of webhooks: where they go, how they look, which notices they carry. Not what is done with them (see
//! `node::webhooks`).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sluice_rule::{Diagnostic, suggest};
use sluice_signal::{
    stream,
    webhook::{NoticeKind, Template, Urgency},
};

use super::{
    reader::{Notes, Reader, Section, Setting, section},
    secret,
    signals::Reference,
    value::{Count, Networks},
};
use crate::outbound;

section! {
    /// A webhook: findings, incidents and changes of risk posted to an endpoint, signed as Standard
    /// Webhooks has it, until the endpoint accepts them.
    Webhook {
        /// Where to, `https://hooks.example.com/sluice`. Where the URL is a secret by itself, as those of
        /// Slack and Teams: `${env:NAME}` or `file:/path`.
        url: String = "",
        /// How a message looks: `standard` (type, timestamp, data), `slack`, `teams`, `pagerduty` or
        /// `jira`.
        template: String = "standard",
        /// `whsec_..` secrets that sign, each a `${env:NAME}` or `file:/path`. With several each makes a
        /// signature, so that one can be changed. `echo whsec_$(openssl rand -base64 32)` makes one.
        secrets: Vec<Reference> = "[]",
        /// The `Authorization` header, as `${env:NAME}` or `file:/path`; unset: none. Jira wants
        /// `Basic` and mail:token as base64.
        authorization: Option<Reference> = "",
        /// The integration key of PagerDuty, as `${env:NAME}` or `file:/path`.
        routing_key: Option<Reference> = "",
        /// The key of the project of Jira.
        project: Option<String> = "",
        /// The type of an issue of Jira; unset: `Task`.
        issue_type: Option<String> = "",
        /// Notices it sends: `finding.opened`, `finding.withdrawn`, `incident.opened`, `incident.closed`,
        /// `risk.changed`. Unset: all. Rules on trial, repeats and what is suppressed send none.
        events: Vec<String> = "[]",
        /// Findings and incidents below this severity send none; of a change of risk the higher level
        /// counts.
        min_severity: String = "high",
        /// The address of the pages of this server, `https://sluice.example.com`: messages link there.
        /// Unset: they link nowhere.
        pages: Option<String> = "",
        /// Messages a minute; more wait.
        rate: Count = "60",
        /// Messages that wait for an endpoint that is away; the oldest is dropped for one more, counted.
        /// 10,000 take about 20 MiB of memory.
        queue: Count = "10000",
        /// Private, loopback or link-local networks that it may post to. All others of these are refused,
        /// whatever a name resolves to; `http://` goes nowhere but there.
        networks: Networks = "[]",
    }
}

impl Webhook {
    /// Kinds of notices it sends. Words that are none were refused.
    pub(crate) fn kinds(&self) -> Vec<NoticeKind> {
        match self.events.is_empty() {
            true => NoticeKind::offered().collect(),
            false => self.events.iter().filter_map(|e| NoticeKind::parse(e)).collect(),
        }
    }

    /// The least urgency it sends. A word that is none was refused.
    pub(crate) fn urgency(&self) -> Urgency {
        Urgency::parse(&self.min_severity).unwrap_or_default()
    }

    /// How a message looks; `None` for a word that is none.
    pub(crate) fn form(&self) -> Option<Template> {
        Some(match self.template.as_str() {
            "standard" => Template::Standard,
            "slack" => Template::Slack,
            "teams" => Template::Teams,
            "pagerduty" => Template::PagerDuty,
            "jira" => Template::Jira {
                project: self.project.clone().unwrap_or_default(),
                issue_type: self.issue_type.clone().unwrap_or_else(|| "Task".to_owned()),
            },
            _ => return None,
        })
    }

    /// Its references to secrets, by setting.
    pub(crate) fn references(&self) -> Vec<(&'static str, &Reference)> {
        let secrets = self.secrets.iter().map(|secret| ("secrets", secret));
        let authorization = self.authorization.iter().map(|secret| ("authorization", secret));
        let key = self.routing_key.iter().map(|secret| ("routing_key", secret));
        secrets.chain(authorization).chain(key).collect()
    }
}

impl Setting for BTreeMap<String, Webhook> {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut webhooks = reader.below(key);
        let names = webhooks.keys();
        let mut read = BTreeMap::new();
        for name in names {
            let good = !name.is_empty()
                && name.len() <= 64
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let mut below = webhooks.below(name);
            if !good {
                below.missing(
                    format!("`{name}` cannot be the name of a webhook"),
                    "at most 64 letters, digits, _ and -: it is part of a URL and of metrics",
                );
            }
            read.insert(name.to_owned(), Webhook::section(&mut below));
        }
        read
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
            "additionalProperties": super::reader::object_schema::<Webhook>(),
        })
    }
}

const TEMPLATES: [&str; 5] = ["standard", "slack", "teams", "pagerduty", "jira"];

/// What settings of webhooks must be, beside each being well formed.
pub(super) fn check(webhooks: &BTreeMap<String, Webhook>, notes: &mut Notes) {
    for (name, webhook) in webhooks {
        let mut blame = |key: &str, problem: String, hint: &str| {
            let path = format!("webhooks.{name}.{key}");
            notes.blame(&path, Diagnostic::error("C005", "", problem).hint(hint));
        };
        check_url(webhook, &mut blame);
        check_words(webhook, &mut blame);
        check_ends(webhook, &mut blame);
        check_template(webhook, &mut blame);
        for (key, reference) in webhook.references() {
            let exposed = secret::file_of(&reference.0).and_then(secret::readable);
            if matches!(exposed, Some(secret::Readable::World)) {
                let problem = "everybody on this machine can read this secret".to_owned();
                blame(key, problem, "chmod 600 on the file");
            }
        }
    }
}

type Blame<'b> = &'b mut dyn FnMut(&str, String, &str);

fn check_url(webhook: &Webhook, blame: Blame<'_>) {
    let example = "url = \"https://hooks.example.com/sluice\"";
    if webhook.url.is_empty() {
        blame("url", "it does not say where to post".into(), example);
    } else if !secret::is_reference(&webhook.url) {
        match stream::host(&webhook.url) {
            None => blame("url", "this is no URL to post to".into(), example),
            Some(host) => {
                let refused = outbound::refusal(&webhook.url, host, &webhook.networks.0);
                if let Some(why) = refused {
                    let hint = "`networks` names private networks that it may post to";
                    blame("url", format!("nothing is posted there: {why}"), hint);
                }
            }
        }
        if matches!(webhook.template.as_str(), "slack" | "teams") {
            let hint = "\"${env:NAME}\" takes it from an environment variable, \"file:/path\" from a \
                        file with mode 0600";
            blame("url", "whoever knows this URL can post: it is a secret".into(), hint);
        }
    }
    if webhook.pages.as_ref().is_some_and(|url| stream::host(url).is_none() || url.ends_with('/')) {
        let hint = "\"https://sluice.example.com\", without a / at its end";
        blame("pages", "this is no address of pages".into(), hint);
    }
}

fn check_words(webhook: &Webhook, blame: Blame<'_>) {
    let mut unknown = |key: &str, word: &str, known: &[&str]| {
        let meant = suggest(word, known.iter().copied());
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`? There are {}", known.join(", ")),
            None => format!("there are {}", known.join(", ")),
        };
        blame(key, format!("there is no `{word}`"), &hint);
    };
    let kinds: Vec<&str> = NoticeKind::offered().map(NoticeKind::name).collect();
    for event in webhook.events.iter().filter(|e| NoticeKind::parse(e).is_none()) {
        unknown("events", event, &kinds);
    }
    if Urgency::parse(&webhook.min_severity).is_none() {
        unknown("min_severity", &webhook.min_severity, &Urgency::ALL.map(Urgency::name));
    }
    if webhook.form().is_none() {
        unknown("template", &webhook.template, &TEMPLATES);
    }
}

/// The end of something goes only to targets of its opening.
fn check_ends(webhook: &Webhook, blame: Blame<'_>) {
    let kinds = webhook.kinds();
    for kind in &kinds {
        if let Some(opened) = kind.opens().filter(|opened| !kinds.contains(opened)) {
            let problem = format!("`{}` is sent only after `{}`", kind.name(), opened.name());
            blame("events", problem, &format!("add `{}`", opened.name()));
        }
    }
}

/// Each template needs its own, and nothing is configured that does nothing.
fn check_template(webhook: &Webhook, blame: Blame<'_>) {
    let template = webhook.template.as_str();
    let mut only = |key: &str, of: &str, given: bool, needed: bool| match template == of {
        true if needed && !given => {
            blame(key, format!("the template `{of}` needs it"), &format!("{key} = .."));
        }
        false if given => {
            let hint = format!("template = \"{of}\", or remove it");
            blame(key, format!("the template `{template}` does not use it"), &hint);
        }
        _ => {}
    };
    only("routing_key", "pagerduty", webhook.routing_key.is_some(), true);
    only("project", "jira", webhook.project.is_some(), true);
    only("issue_type", "jira", webhook.issue_type.is_some(), false);
    if template == "standard" && webhook.secrets.is_empty() {
        let hint = "echo whsec_$(openssl rand -base64 32) > /path, chmod 600 /path, and \
                    secrets = [\"file:/path\"]";
        blame("secrets", "nothing signs its messages".into(), hint);
    }
}

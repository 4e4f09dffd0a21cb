//! How a notice looks to its target: the body that is posted. Everything of a notice may have been
//! written by an attacker, so it goes only where the target shows plain text, or with what its markup
//! would read escaped. Secrets are not in a body: see [`Template::with_key`].
//!
//! The shapes are those of the vendors' documentation; none was tried against the vendor.

use serde_json::{Map, Value, json};
use sluice_event::rfc3339;

use super::{Notice, NoticeKind, Urgency};

/// The form of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// `{type, timestamp, data}` of Standard Webhooks.
    Standard,
    /// An incoming webhook of Slack, with blocks.
    Slack,
    /// A workflow of Microsoft Teams, with an Adaptive Card.
    Teams,
    /// An event of PagerDuty (Events API v2): triggered, and resolved when it is over.
    PagerDuty,
    /// An issue of Jira Cloud (REST v3) for what opens; there is none for a level or an end.
    Jira {
        /// The key of the project.
        project: String,
        /// The name of the type of issue.
        issue_type: String,
    },
}

/// Characters of a fact.
const FACT: usize = 500;

impl Template {
    /// The word in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Template::Standard => "standard",
            Template::Slack => "slack",
            Template::Teams => "teams",
            Template::PagerDuty => "pagerduty",
            Template::Jira { .. } => "jira",
        }
    }

    /// The body of a notice; `None` where the target has no form for it. `id` is that of the message,
    /// `pages` the address that it links to.
    pub fn render(&self, notice: &Notice, id: &str, pages: Option<&str>) -> Option<Value> {
        let link = pages.filter(|_| !notice.page.is_empty());
        let link = link.map(|pages| format!("{pages}{}", notice.page));
        let link = link.as_deref();
        match self {
            Template::Standard => Some(standard(notice, link)),
            Template::Slack => Some(slack(notice, link)),
            Template::Teams => Some(teams(notice, link)),
            Template::PagerDuty => Some(pager_duty(notice, link)),
            Template::Jira { project, issue_type } => {
                let opens = matches!(
                    notice.kind,
                    NoticeKind::FindingOpened | NoticeKind::IncidentOpened | NoticeKind::Test
                );
                opens.then(|| jira(notice, id, link, [project, issue_type]))
            }
        }
    }

    /// The body with the key that PagerDuty wants inside of it. It is not stored with the message.
    pub fn with_key(&self, body: &Value, key: Option<&str>) -> String {
        let (Template::PagerDuty, Some(key), Value::Object(body)) = (self, key, body) else {
            return body.to_string();
        };
        let mut keyed = Map::new();
        keyed.insert("routing_key".into(), key.into());
        keyed.extend(body.clone());
        Value::Object(keyed).to_string()
    }
}

fn standard(notice: &Notice, link: Option<&str>) -> Value {
    let mut data = notice.data.clone();
    if let Some(url) = link {
        data.insert("url".into(), url.into());
    }
    json!({"type": notice.kind.name(), "timestamp": rfc3339(notice.time), "data": data})
}

fn slack(notice: &Notice, link: Option<&str>) -> Value {
    let title = format!("*{}*", slack_text(&notice.title, 1_000));
    let title = match link {
        Some(url) => format!("{title}\n<{url}|{}>", notice.kind.name()),
        None => format!("{title}\n{}", notice.kind.name()),
    };
    // A section takes ten fields.
    let fields: Vec<Value> = facts(notice)
        .take(10)
        .map(|(label, value)| {
            json!({"type": "mrkdwn", "text": format!("*{label}*\n{}", slack_text(&value, FACT))})
        })
        .collect();
    json!({
        "text": slack_text(&notice.title, 1_000),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": title}},
            {"type": "section", "fields": fields},
        ],
    })
}

/// What Slack's markup reads is escaped as its documentation says; `*_~` and backquotes, which it has no
/// escape for, are set apart by a zero-width space.
fn slack_text(text: &str, most: usize) -> String {
    let mut safe = String::new();
    for c in line(text, most).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '*' | '_' | '~' | '`' => safe.extend(['\u{200b}', c, '\u{200b}']),
            c => safe.push(c),
        }
    }
    safe
}

/// Only text runs: the text blocks of Adaptive Cards read Markdown, and links in it.
fn teams(notice: &Notice, link: Option<&str>) -> Value {
    let run = |text: String, bold: bool| {
        let weight = if bold { "Bolder" } else { "Default" };
        json!({"type": "TextRun", "text": text, "weight": weight})
    };
    let block = |runs: Vec<Value>| json!({"type": "RichTextBlock", "inlines": runs});
    let mut body = vec![block(vec![run(line(&notice.title, 1_000), true)])];
    body.extend(
        facts(notice)
            .map(|(label, value)| block(vec![run(format!("{label}: "), true), run(value, false)])),
    );
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": body,
    });
    if let (Some(url), Some(card)) = (link, card.as_object_mut()) {
        card.insert(
            "actions".into(),
            json!([{"type": "Action.OpenUrl", "title": "Open", "url": url}]),
        );
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null,
            "content": card,
        }],
    })
}

fn pager_duty(notice: &Notice, link: Option<&str>) -> Value {
    let over = notice.kind.opens().is_some()
        || (notice.kind == NoticeKind::RiskChanged
            && notice.data.get("level") == Some(&json!("low")));
    // What ends has the key of what began.
    let key = match notice.kind {
        NoticeKind::FindingOpened | NoticeKind::FindingWithdrawn => "finding",
        NoticeKind::IncidentOpened | NoticeKind::IncidentClosed => "incident",
        NoticeKind::RiskChanged => "risk",
        NoticeKind::Test => "test",
    };
    let key = line(&format!("sluice:{key}:{}", notice.subject), 255);
    if over {
        return json!({"event_action": "resolve", "dedup_key": key});
    }
    let severity = match notice.urgency {
        Urgency::Critical => "critical",
        Urgency::High => "error",
        Urgency::Medium => "warning",
        Urgency::Low | Urgency::Informational => "info",
    };
    let details: Map<String, Value> =
        facts(notice).map(|(label, value)| (label.to_owned(), value.into())).collect();
    let mut event = json!({
        "event_action": "trigger", "dedup_key": key, "client": "Sluice",
        "payload": {
            "summary": line(&notice.title, 1_024), "source": "sluice", "severity": severity,
            "timestamp": rfc3339(notice.time), "class": notice.kind.name(),
            "custom_details": details,
        },
    });
    if let (Some(url), Some(event)) = (link, event.as_object_mut()) {
        event.insert("client_url".into(), url.into());
    }
    event
}

/// The description is a document of text nodes. The label carries the id of the message: an issue whose
/// answer was lost is made again, and is found by it.
fn jira(
    notice: &Notice,
    id: &str,
    link: Option<&str>,
    [project, issue_type]: [&String; 2],
) -> Value {
    let paragraph =
        |text: String| json!({"type": "paragraph", "content": [{"type": "text", "text": text}]});
    let mut content: Vec<Value> =
        facts(notice).map(|(label, value)| paragraph(format!("{label}: {value}"))).collect();
    if let Some(url) = link {
        content.push(paragraph(url.to_owned()));
    }
    json!({
        "fields": {
            "project": {"key": project}, "issuetype": {"name": issue_type},
            "summary": line(&notice.title, 255),
            "description": {"type": "doc", "version": 1, "content": content},
            "labels": ["sluice", id],
        },
    })
}

/// Label and value, the time and the urgency first.
fn facts(notice: &Notice) -> impl Iterator<Item = (&'static str, String)> {
    let first = [("time", rfc3339(notice.time)), ("severity", notice.urgency.name().to_owned())];
    let more = notice.facts.iter().filter(|(_, value)| !value.is_empty());
    first.into_iter().chain(more.map(|(label, value)| (*label, line(value, FACT))))
}

/// One line of at most so many characters, without what only controls a terminal or a layout.
fn line(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = chars.by_ref().filter(|c| !is_bidi(*c)).take(most).collect();
    if chars.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// Marks that turn the direction of what follows.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

//! Bodies of webhooks: the shapes that targets document, and that nothing an attacker wrote is markup
//! there.

use serde_json::{Value, json};
use sluice_signal::webhook::{Notice, NoticeKind, Template, Urgency};

use crate::{support::START, webhooks::notice};

fn jira() -> Template {
    Template::Jira { project: "SEC".into(), issue_type: "Task".into() }
}

#[track_caller]
fn render(template: &Template, notice: &Notice) -> Value {
    template.render(notice, "msg_1", Some("https://sluice.example.com")).unwrap()
}

#[test]
fn standard_is_type_timestamp_and_data() {
    let body = render(&Template::Standard, &notice(NoticeKind::FindingOpened, "f1"));
    assert_eq!(
        body,
        json!({
            "type": "finding.opened", "timestamp": "2026-01-01T00:00:00.000Z",
            "data": {"id": "f1", "url": "https://sluice.example.com/#/findings/f1"},
        })
    );
}

#[test]
fn pagerduty_triggers_and_resolves_under_one_key() {
    let key = "R0UT1NGKEY";
    let of = |kind, subject: &str, level: Option<&str>| {
        let mut notice = notice(kind, subject);
        if let Some(level) = level {
            notice.data.insert("level".into(), level.into());
        }
        let body = render(&Template::PagerDuty, &notice);
        assert!(!body.to_string().contains(key));
        let sent = Template::PagerDuty.with_key(&body, Some(key));
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent["routing_key"], key);
        (sent["event_action"].as_str().unwrap().to_owned(), sent["dedup_key"].clone())
    };
    let opened = of(NoticeKind::IncidentOpened, "i1", None);
    let closed = of(NoticeKind::IncidentClosed, "i1", None);
    assert_eq!((opened.0.as_str(), closed.0.as_str()), ("trigger", "resolve"));
    assert_eq!(opened.1, closed.1);
    let high = of(NoticeKind::RiskChanged, "user:ann", Some("high"));
    let low = of(NoticeKind::RiskChanged, "user:ann", Some("low"));
    assert_eq!((high.0.as_str(), low.0.as_str()), ("trigger", "resolve"));
    assert_eq!(high.1, low.1);
    assert_ne!(high.1, opened.1);
    let body = render(&Template::PagerDuty, &notice(NoticeKind::IncidentOpened, "i1"));
    assert_eq!(body["payload"]["severity"], "error");
    assert_eq!(body["payload"]["timestamp"], "2026-01-01T00:00:00.000Z");
    assert_eq!(body["payload"]["custom_details"]["rule"], "identity.mfa_fatigue");
    assert_eq!(Template::Standard.with_key(&json!({"a": 1}), Some(key)), "{\"a\":1}");
}

#[test]
fn jira_has_an_issue_for_what_opens_and_for_nothing_else() {
    let body = render(&jira(), &notice(NoticeKind::IncidentOpened, "i1"));
    let fields = &body["fields"];
    assert_eq!(
        (&fields["project"]["key"], &fields["issuetype"]["name"]),
        (&json!("SEC"), &json!("Task"))
    );
    assert_eq!(fields["labels"], json!(["sluice", "msg_1"]));
    assert_eq!(
        (&fields["description"]["type"], &fields["description"]["version"]),
        (&json!("doc"), &json!(1))
    );
    for kind in [NoticeKind::IncidentClosed, NoticeKind::FindingWithdrawn, NoticeKind::RiskChanged]
    {
        assert_eq!(jira().render(&notice(kind, "i1"), "msg_1", None), None, "{kind:?}");
    }
}

#[test]
fn slack_and_teams_show_title_facts_and_a_link() {
    let one = notice(NoticeKind::FindingOpened, "f1");
    let slack = render(&Template::Slack, &one);
    assert_eq!(slack["text"], "Something about f1");
    let title = slack["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(title.contains("<https://sluice.example.com/#/findings/f1|finding.opened>"), "{title}");
    assert_eq!(slack["blocks"][1]["fields"].as_array().unwrap().len(), 3);
    let teams = render(&Template::Teams, &one);
    let card = &teams["attachments"][0]["content"];
    assert_eq!((&teams["type"], &card["type"]), (&json!("message"), &json!("AdaptiveCard")));
    assert_eq!(card["body"][0]["inlines"][0]["text"], "Something about f1");
    assert_eq!(card["actions"][0]["url"], "https://sluice.example.com/#/findings/f1");
}

#[test]
fn b30_what_an_attacker_wrote_is_text_everywhere() {
    let evil = "<!channel> *x* `y` <https://evil.example|click> [go](https://evil.example) \
                {noformat} \u{202e}txt\r\nSecond: line \u{1b}[31m";
    let mut notice = Notice {
        title: evil.to_owned(),
        urgency: Urgency::Critical,
        ..notice(NoticeKind::FindingOpened, "f1")
    };
    notice.facts = vec![("user", evil.to_owned())];
    notice.page = String::new();
    assert_eq!(notice.time, START);
    let slack = render(&Template::Slack, &notice).to_string();
    for markup in ["<!channel>", "<https://evil", "*x*", "`y`"] {
        assert!(!slack.contains(markup), "{markup}: {slack}");
    }
    let teams = render(&Template::Teams, &notice);
    let blocks = teams["attachments"][0]["content"]["body"].as_array().unwrap().clone();
    assert!(blocks.len() >= 3);
    for block in blocks {
        assert_eq!(block["type"], "RichTextBlock", "a text block would read Markdown");
    }
    for template in [Template::Slack, Template::Teams, Template::PagerDuty, jira()] {
        let body = render(&template, &notice).to_string();
        let title = body.find("Second").unwrap();
        assert!(title > 0);
        for hidden in ['\u{202e}', '\u{1b}'] {
            let written = format!("\\u{:04x}", u32::from(hidden));
            assert!(
                !body.contains(hidden) && !body.contains(&written),
                "{}: {body}",
                template.name()
            );
        }
    }
    // Long texts are cut, and say so.
    notice.title = "x".repeat(5_000);
    for (template, pointer, most) in [
        (Template::PagerDuty, "/payload/summary", 1_024),
        (jira(), "/fields/summary", 255),
        (Template::Slack, "/text", 1_000),
    ] {
        let body = render(&template, &notice);
        let text = body.pointer(pointer).unwrap().as_str().unwrap();
        assert_eq!(text.chars().count(), most, "{}", template.name());
        assert!(text.ends_with('…'), "{}", template.name());
    }
}

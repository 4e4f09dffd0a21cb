//! A dead letter for people, from its JSON: the same whoever gave it.

use serde_json::Value as Json;

fn word(letter: &Json, key: &str) -> String {
    match &letter[key] {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `okta:logins/3@17`: input, part and offset.
fn place(letter: &Json) -> String {
    let input = word(letter, "input");
    let part = letter["part"].as_str().filter(|p| !p.is_empty());
    let part = part.map_or(String::new(), |p| format!(":{p}"));
    format!("{input}{part}@{}", word(letter, "offset"))
}

/// The cells of a list.
pub(super) fn row(letter: &Json) -> Vec<String> {
    let message: String = word(letter, "message").chars().take(80).collect();
    vec![
        word(letter, "id"),
        word(letter, "received_at"),
        word(letter, "source"),
        word(letter, "code"),
        place(letter),
        // One line each, whatever it says.
        sluice_rule::visible(&message),
    ]
}

/// All of it, line by line; whoever prints them escapes what is not text.
pub(super) fn text(letter: &Json) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", word(letter, "code"), word(letter, "message"))];
    let mut add = |name: &str, value: String| lines.push(format!("  {name:<10} {value}"));
    add("id", word(letter, "id"));
    add("source", word(letter, "source"));
    add("mapping", word(letter, "mapping"));
    add("where", place(letter));
    add("line", word(letter, "line"));
    add("received", word(letter, "received_at"));
    add("attempts", word(letter, "attempts"));
    let original = &letter["original"];
    add("bytes", word(original, "length"));
    if original["truncated"] == true {
        add("note", "only its head was kept: it is over the limit of a record".to_owned());
    }
    lines.push(String::new());
    match (original["text"].as_str(), original["base64"].as_str()) {
        (Some(text), _) => lines.extend(text.split('\n').map(str::to_owned)),
        (None, Some(bytes)) => lines.push(format!("not UTF-8, base64: {bytes}")),
        (None, None) => lines.push("(nothing)".to_owned()),
    }
    lines
}

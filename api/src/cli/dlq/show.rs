//! A dead letter for people, from its JSON: the same whoever gave it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value as Json;
use sluice_rule::visible;

fn word(letter: &Json, key: &str) -> String {
    match &letter[key] {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `okta:logins/3@17`: input, part and offset.
fn place(letter: &Json) -> String {
    format!("{}@{}", word(letter, "place"), word(letter, "offset"))
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
        visible(&message),
    ]
}

/// All of it, line by line. Bytes that are not UTF-8 are escaped, as is what acts on a terminal.
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
    add("bytes", word(letter, "length"));
    if letter["whole"] == false {
        add("note", "only its head was kept: it is over the limit of a record".to_owned());
    }
    lines.push(String::new());
    let bytes = STANDARD.decode(letter["base64"].as_str().unwrap_or("")).unwrap_or_default();
    match std::str::from_utf8(&bytes) {
        Ok("") => lines.push("(nothing)".to_owned()),
        Ok(text) => lines.extend(text.split('\n').map(visible)),
        Err(_) => {
            lines.extend(bytes.split(|b| *b == b'\n').map(|line| line.escape_ascii().to_string()));
        }
    }
    lines
}

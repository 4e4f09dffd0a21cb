//! Kinds of values: durations and sizes with their units, addresses, times, words of a list.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use serde_json::{Value as Json, json};
use sluice_event::rfc3339;
use sluice_rule::{parse_duration, resolve_time, suggest};

use crate::network::Network;

use super::{
    reader::{Value, Wrong},
    tree::Raw,
};

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) i64);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) u64);

/// Addresses of a Kafka cluster, `host:port` with commas between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brokers(pub(crate) String);

/// A number of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Count(pub(crate) NonZeroUsize);

/// Networks of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Networks(pub(crate) Vec<Network>);

/// Where a Kafka input begins that has no position yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the oldest record that is still there.
    Earliest,
    /// After the newest.
    Latest,
    /// At the first record of this time or later, milliseconds since 1970 UTC.
    At(i64),
}

/// Since when the history is complete, for `first_seen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryStart {
    /// Since the first event that was accepted.
    FirstEvent,
    /// Nothing was before.
    None,
    /// Since this time, milliseconds since 1970 UTC.
    At(i64),
}

/// What was written, in words; no contents: they may be a secret.
fn kind(raw: &Raw) -> &'static str {
    match raw {
        Raw::Text(_) | Raw::Loose(_) => "a string",
        Raw::Integer(_) => "a number",
        Raw::Other(kind, _) => kind,
        Raw::Bool(_) => "true or false",
        Raw::List(_) => "a list",
    }
}

fn text<'r>(raw: &'r Raw, hint: &str) -> Result<&'r str, Wrong> {
    match raw {
        Raw::Text(text) | Raw::Loose(text) => Ok(text),
        other => Err(Wrong::new(format!("a string is needed, this is {}", kind(other)), hint)),
    }
}

impl Value for Millis {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint =
            "a whole number and a unit of ms, s, m, h, d or w, in quotes: \"10s\", \"1h30m\"";
        if let Raw::Integer(number) = raw {
            return Err(Wrong::new(
                "a duration needs its unit",
                format!("\"{number}s\" are seconds, \"{number}ms\" milliseconds"),
            ));
        }
        let text = text(raw, hint)?;
        parse_duration(text).map(Millis).ok_or_else(|| not_a("a duration", text, hint))
    }

    fn default(text: &str) -> Self {
        Millis(parse_duration(text).unwrap_or(0))
    }

    fn shown(&self) -> Json {
        const UNITS: [(i64, &str); 5] =
            [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let unit = UNITS.iter().find(|(size, _)| self.0 % size == 0 && self.0 >= *size);
        unit.map_or_else(|| "0s".into(), |(size, unit)| format!("{}{unit}", self.0 / size).into())
    }

    fn schema() -> Json {
        json!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$"})
    }
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) =
        text.trim().split_at_checked(text.trim().find(|c: char| !c.is_ascii_digit())?)?;
    let (_, size) = SIZE_UNITS.iter().find(|(u, _)| *u == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

impl Value for ByteSize {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "a whole number and a unit of B, KiB, MiB, GiB, TiB (or kB, MB, GB, TB of 1000), \
                    in quotes: \"64MiB\"";
        if let Raw::Integer(number) = raw {
            return Err(Wrong::new(
                "a size needs its unit",
                format!("\"{number}B\" are bytes, \"{number}MiB\" mebibytes"),
            ));
        }
        let text = text(raw, hint)?;
        parse_size(text).map(ByteSize).ok_or_else(|| not_a("a size", text, hint))
    }

    fn default(text: &str) -> Self {
        ByteSize(parse_size(text).unwrap_or(0))
    }

    fn shown(&self) -> Json {
        let binary = |(unit, size): &&(&str, u64)| {
            (unit.ends_with("iB") || *unit == "B")
                && self.0.is_multiple_of(*size)
                && self.0 >= *size
        };
        let unit = SIZE_UNITS.iter().find(binary);
        unit.map_or_else(|| "0B".into(), |(unit, size)| format!("{}{unit}", self.0 / size).into())
    }

    fn schema() -> Json {
        json!({"type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$"})
    }
}

impl Value for Count {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let number = match raw {
            Raw::Integer(number) => usize::try_from(*number).ok(),
            Raw::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.and_then(NonZeroUsize::new).map(Count).ok_or_else(|| {
            Wrong::new("a whole number from 1 is needed", "without quotes and without a unit: 4")
        })
    }

    fn default(text: &str) -> Self {
        Count(text.parse().unwrap_or(NonZeroUsize::MIN))
    }

    fn shown(&self) -> Json {
        self.0.get().into()
    }

    fn schema() -> Json {
        json!({"type": "integer", "minimum": 1})
    }
}

impl Value for Networks {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let texts = Vec::<String>::parse(raw)?;
        let network = |text: &String| {
            text.trim().parse().map_err(|expected| not_a("an address or network", text, expected))
        };
        texts.iter().map(network).collect::<Result<_, _>>().map(Networks)
    }

    fn default(_text: &str) -> Self {
        Networks(Vec::new())
    }

    fn shown(&self) -> Json {
        self.0.iter().map(|network| Json::from(network.to_string())).collect()
    }

    fn schema() -> Json {
        json!({"type": "array", "items": {"type": "string"}})
    }
}

impl Value for bool {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        match raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Loose(text) if text == "true" => Ok(true),
            Raw::Loose(text) if text == "false" => Ok(false),
            other => {
                Err(Wrong::new(format!("this is {}", kind(other)), "true or false, without quotes"))
            }
        }
    }

    fn default(text: &str) -> Self {
        text == "true"
    }

    fn shown(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({"type": "boolean"})
    }
}

impl Value for String {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        text(raw, "text in quotes").map(str::to_owned)
    }

    fn default(text: &str) -> Self {
        text.to_owned()
    }

    fn shown(&self) -> Json {
        self.as_str().into()
    }

    fn schema() -> Json {
        json!({"type": "string"})
    }
}

impl Value for PathBuf {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "a path in quotes: \"./data\"";
        match text(raw, hint)? {
            "" => Err(Wrong::new("the path is empty", hint)),
            path => Ok(path.into()),
        }
    }

    fn default(text: &str) -> Self {
        text.into()
    }

    fn shown(&self) -> Json {
        self.display().to_string().into()
    }

    fn schema() -> Json {
        json!({"type": "string", "minLength": 1})
    }
}

impl Value for SocketAddr {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint =
            "an address and a port: \"127.0.0.1:7777\", \"[::1]:7777\"; port 0 takes a free one";
        let text = text(raw, hint)?;
        text.parse().map_err(|_| not_a("an address with a port", text, hint))
    }

    fn default(text: &str) -> Self {
        text.parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7777)))
    }

    fn shown(&self) -> Json {
        self.to_string().into()
    }

    fn schema() -> Json {
        json!({"type": "string"})
    }
}

impl Value for Brokers {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "host:port, several with commas between: \"a:9092,b:9092\"";
        let text = text(raw, hint)?;
        if text.contains('@') {
            return Err(Wrong::new(
                "the address of a broker has no user or password",
                "credentials go to the librdkafka table: \"sasl.username\", \"sasl.password\"",
            ));
        }
        match text.split(',').map(str::trim).find(|address| !is_address(address)) {
            Some(wrong) => Err(not_a("the address of a broker", wrong, hint)),
            None => Ok(Brokers(text.to_owned())),
        }
    }

    fn default(text: &str) -> Self {
        Brokers(text.to_owned())
    }

    fn shown(&self) -> Json {
        self.0.as_str().into()
    }

    fn schema() -> Json {
        json!({"type": "string", "minLength": 1})
    }
}

fn is_address(text: &str) -> bool {
    let host_port = text.split_once("://").map_or(text, |(_, rest)| rest);
    // Without a port, librdkafka takes 9092.
    let (host, port) = host_port.rsplit_once(':').unwrap_or((host_port, "9092"));
    !host.is_empty() && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok()
}

/// A list of strings; in the environment separated by commas.
impl Value for Vec<String> {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "a list of strings: [\"a\", \"b\"]";
        match raw {
            Raw::List(list) => list.iter().map(|v| text(v, hint).map(str::to_owned)).collect(),
            Raw::Loose(text) => Ok(words(text)),
            other => Err(Wrong::new(format!("a list is needed, this is {}", kind(other)), hint)),
        }
    }

    fn default(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn shown(&self) -> Json {
        self.as_slice().into()
    }

    fn schema() -> Json {
        json!({"type": "array", "items": {"type": "string"}})
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// A value that may be left out; its default is to be absent.
impl<T: Value> Value for Option<T> {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        T::parse(raw).map(Some)
    }

    fn default(_text: &str) -> Self {
        None
    }

    fn shown(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::shown)
    }

    fn schema() -> Json {
        T::schema()
    }
}

impl Value for Start {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "\"earliest\", \"latest\", or a time: \"2026-01-01T00:00:00Z\"";
        match text(raw, hint)? {
            "earliest" => Ok(Start::Earliest),
            "latest" => Ok(Start::Latest),
            text => time(text).map(Start::At).ok_or_else(|| not_a("a start", text, hint)),
        }
    }

    fn default(_text: &str) -> Self {
        Start::Earliest
    }

    fn shown(&self) -> Json {
        match self {
            Start::Earliest => "earliest".into(),
            Start::Latest => "latest".into(),
            Start::At(time) => rfc3339(*time).into(),
        }
    }

    fn schema() -> Json {
        json!({"anyOf": [{"enum": ["earliest", "latest"]}, {"type": "string", "format": "date-time"}]})
    }
}

impl Value for HistoryStart {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "\"first_event\", \"none\", or a time: \"2026-01-01T00:00:00Z\"";
        match text(raw, hint)? {
            "first_event" => Ok(HistoryStart::FirstEvent),
            "none" => Ok(HistoryStart::None),
            text => time(text).map(HistoryStart::At).ok_or_else(|| not_a("a time", text, hint)),
        }
    }

    fn default(_text: &str) -> Self {
        HistoryStart::FirstEvent
    }

    fn shown(&self) -> Json {
        match self {
            HistoryStart::FirstEvent => "first_event".into(),
            HistoryStart::None => "none".into(),
            HistoryStart::At(time) => rfc3339(*time).into(),
        }
    }

    fn schema() -> Json {
        json!({"anyOf": [{"enum": ["first_event", "none"]}, {"type": "string", "format": "date-time"}]})
    }
}

/// A time by itself: offsets, which tests may use, mean nothing here.
fn time(text: &str) -> Option<i64> {
    let absolute = text.starts_with(|c: char| c.is_ascii_digit());
    absolute.then(|| resolve_time(text)).flatten()
}

fn not_a(what: &str, text: &str, hint: &str) -> Wrong {
    Wrong::new(format!("`{text}` is not {what}"), hint)
}

/// One of a few words.
pub(crate) fn word<T: Copy>(raw: &Raw, words: &[(&'static str, T)]) -> Result<T, Wrong> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let all = format!("one of {}, in quotes", names.join(", "));
    let text = text(raw, &all)?;
    words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let near = suggest(text, names.iter().copied())
            .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
        Wrong::new(format!("`{text}` is none of its words"), format!("{near}{all}"))
    })
}

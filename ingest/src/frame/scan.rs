//! Finds where JSON values begin and end without parsing them: brackets, strings, and the keys on
//! the way to the records. Wrong brackets give wrong records, which the decoder then refuses.

use std::ops::Range;

use super::Unwrap;

/// What a byte means for the record being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// Goes on.
    None,
    /// A record begins with this byte.
    Begin,
    /// The record ends with this byte.
    End,
    /// The record has ended before this byte.
    EndBefore,
    /// The record has ended before this byte, and the next begins with it.
    EndBeforeAndBegin,
    /// What began is a wrapper: its records come next.
    Discard,
    /// What began is a wrapper: its one record begins with this byte.
    DiscardAndBegin,
}

/// A state machine over the bytes of concatenated JSON values.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    paths: Vec<Path>,
    keys_max: usize,
    state: State,
    /// Open brackets.
    depth: usize,
    /// Open brackets around the records: 0 at the top, else the depth of the array they are in.
    base: usize,
    string: bool,
    escaped: bool,
    /// The next string at this depth is a key.
    expects_key: bool,
    reads_key: bool,
    key: Vec<u8>,
    keys: Vec<Vec<u8>>,
    /// Depth of the outermost array that is not on a path; 0 if none.
    blocked: usize,
    /// The wrapper holds one record, not an array of them.
    single: bool,
    line_start: bool,
}

/// The keys from a value to its records, and whether they are the elements of an array.
#[derive(Debug)]
struct Path {
    keys: Vec<Box<[u8]>>,
    elements: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between records.
    #[default]
    Between,
    /// In a record that is an object or array.
    Value,
    /// In a record that is none: up to a separator, an object or the end of the line.
    Scalar,
    /// In a line of comment: up to its end.
    Comment,
    /// After the records of a wrapper, up to its end.
    Tail,
    /// After a newline inside a string: up to a line that starts an object.
    Broken,
}

impl Scanner {
    pub(super) fn new(unwrap: &Unwrap) -> Self {
        let paths: Vec<Path> = unwrap
            .paths
            .iter()
            .map(|path| Path {
                keys: path.keys.iter().map(|key| key.as_bytes().into()).collect(),
                elements: path.elements,
            })
            .collect();
        let keys_max = paths.iter().map(|p| p.keys.len()).max().unwrap_or(0);
        Scanner { paths, keys_max, keys: vec![Vec::new(); keys_max], ..Scanner::default() }
    }

    /// How many of the next bytes are inside a string and mean nothing.
    pub(super) fn skip(&self, bytes: &[u8]) -> Option<usize> {
        if !self.string || self.escaped || self.reads_key {
            return None;
        }
        let plain = memchr::memchr3(b'"', b'\\', b'\n', bytes).unwrap_or(bytes.len());
        (plain > 0).then_some(plain)
    }

    pub(super) fn step(&mut self, byte: u8) -> Event {
        let line_start = self.line_start;
        self.line_start = byte == b'\n' || (line_start && byte.is_ascii_whitespace());
        match self.state {
            State::Between => self.between(byte),
            State::Scalar => self.scalar(byte),
            State::Comment if byte == b'\n' => {
                self.state = State::Between;
                Event::EndBefore
            }
            State::Comment => Event::None,
            State::Broken if line_start && byte == b'{' => {
                self.state = State::Value;
                self.depth = self.base + 1;
                self.open_object();
                Event::EndBeforeAndBegin
            }
            State::Broken => Event::None,
            State::Value | State::Tail => self.inside(byte),
        }
    }

    fn between(&mut self, byte: u8) -> Event {
        match byte {
            b'{' => {
                self.state = State::Value;
                self.depth += 1;
                self.open_object();
                Event::Begin
            }
            b'[' if self.depth == 0 => {
                self.depth = 1;
                self.base = 1;
                Event::None
            }
            b'[' => {
                self.state = State::Value;
                self.depth += 1;
                self.expects_key = false;
                Event::Begin
            }
            b']' if self.base > 0 => {
                self.depth = self.base - 1;
                self.base = 0;
                self.state = if self.depth == 0 { State::Between } else { State::Tail };
                Event::None
            }
            // Separators: of a list, of RFC 7464, the zeros of a truncated file, and a byte order mark.
            b',' | b';' | 0 | 0x1e | 0xef | 0xbb | 0xbf => Event::None,
            byte if byte.is_ascii_whitespace() => Event::None,
            b'/' | b'#' => {
                self.state = State::Comment;
                Event::Begin
            }
            byte => {
                self.state = State::Scalar;
                self.string = byte == b'"';
                Event::Begin
            }
        }
    }

    fn scalar(&mut self, byte: u8) -> Event {
        if byte == b'{' && !self.string {
            self.state = State::Value;
            self.depth += 1;
            self.open_object();
            return Event::EndBeforeAndBegin;
        }
        let ends = match byte {
            b'\n' => true,
            b',' | b']' => self.base > 0 && !self.string,
            _ => false,
        };
        if self.escaped {
            self.escaped = false;
        } else if self.string {
            self.escaped = byte == b'\\';
            self.string = byte != b'"';
        }
        if !ends {
            return Event::None;
        }
        self.string = false;
        self.state = State::Between;
        if byte == b']' {
            self.between(byte);
        }
        Event::EndBefore
    }

    fn inside(&mut self, byte: u8) -> Event {
        if self.string {
            return self.in_string(byte);
        }
        match byte {
            b'"' => {
                self.string = true;
                self.reads_key = self.expects_key && self.matching() && self.depth <= self.keys_max;
                self.key.clear();
                Event::None
            }
            b'{' => {
                let found = self.matching() && self.on_path(false);
                if found {
                    self.base = self.depth;
                    self.single = true;
                }
                self.depth += 1;
                self.open_object();
                if found { Event::DiscardAndBegin } else { Event::None }
            }
            b'[' => {
                if self.matching() {
                    if self.on_path(true) {
                        self.depth += 1;
                        self.base = self.depth;
                        self.state = State::Between;
                        return Event::Discard;
                    }
                    self.blocked = self.depth + 1;
                }
                self.depth += 1;
                self.expects_key = false;
                Event::None
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth < self.blocked {
                    self.blocked = 0;
                }
                let level = if self.state == State::Tail { 0 } else { self.base };
                if self.depth > level {
                    return Event::None;
                }
                let event = if self.state == State::Tail { Event::None } else { Event::End };
                self.state = State::Between;
                if self.single {
                    self.single = false;
                    self.base = 0;
                    self.state = State::Tail;
                }
                event
            }
            b',' => {
                // In an array the next string is taken for a key; no path leads through arrays.
                self.expects_key = true;
                Event::None
            }
            b':' => {
                self.expects_key = false;
                Event::None
            }
            _ => Event::None,
        }
    }

    fn in_string(&mut self, byte: u8) -> Event {
        if self.escaped {
            self.escaped = false;
            return Event::None;
        }
        match byte {
            b'\\' => self.escaped = true,
            b'"' => {
                self.string = false;
                if self.reads_key {
                    self.reads_key = false;
                    if let Some(key) = self.keys.get_mut(self.depth - 1) {
                        std::mem::swap(key, &mut self.key);
                    }
                }
            }
            b'\n' if self.state == State::Value => {
                self.string = false;
                self.reads_key = false;
                self.blocked = 0;
                self.state = State::Broken;
            }
            _ if self.reads_key && self.key.len() < 64 => self.key.push(byte),
            _ => {}
        }
        Event::None
    }

    fn open_object(&mut self) {
        self.expects_key = true;
        if let Some(key) = self.keys.get_mut(self.depth - 1) {
            key.clear();
        }
    }

    /// Whether the records may still be found deeper in this value.
    fn matching(&self) -> bool {
        self.base == 0 && self.blocked == 0 && self.state == State::Value
    }

    fn on_path(&self, elements: bool) -> bool {
        self.paths.iter().any(|path| {
            path.elements == elements
                && path.keys.len() == self.depth
                && path.keys.iter().zip(&self.keys).all(|(want, key)| **want == **key)
        })
    }
}

/// The records inside a value on one line; `None` if the value is a record itself.
pub(super) fn elements(line: &[u8], unwrap: &Unwrap) -> Option<Vec<Range<usize>>> {
    let mut scanner = Scanner::new(unwrap);
    let mut spans = Vec::new();
    let mut start = None;
    let mut unwrapped = line.trim_ascii_start().first() == Some(&b'[');
    for (at, byte) in line.iter().enumerate() {
        match scanner.step(*byte) {
            Event::None => {}
            Event::Begin => start = Some(at),
            Event::Discard => {
                unwrapped = true;
                start = None;
            }
            Event::DiscardAndBegin => {
                unwrapped = true;
                start = Some(at);
            }
            Event::End => spans.extend(start.take().map(|s| s..at + 1)),
            Event::EndBefore => spans.extend(start.take().map(|s| s..at)),
            Event::EndBeforeAndBegin => spans.extend(start.replace(at).map(|s| s..at)),
        }
    }
    spans.extend(start.map(|s| s..line.len()));
    unwrapped.then_some(spans)
}

/// Whether a value that holds records begins in `head`, as its first value.
pub(super) fn finds_elements(head: &[u8], unwrap: &Unwrap) -> bool {
    let mut scanner = Scanner::new(unwrap);
    for byte in head {
        match scanner.step(*byte) {
            Event::Discard | Event::DiscardAndBegin => return true,
            Event::End | Event::EndBefore | Event::EndBeforeAndBegin => return false,
            Event::None | Event::Begin => {}
        }
    }
    false
}

/// Whether a line is exactly one object, by its brackets.
pub(super) fn is_one_object(line: &[u8]) -> bool {
    let mut scanner = Scanner::default();
    line.first() == Some(&b'{')
        && line
            .iter()
            .position(|byte| scanner.step(*byte) == Event::End)
            .is_some_and(|at| at + 1 == line.len())
}

/// Whether an array begins whose first two elements are of different kinds: it is one record
/// (`["tag", 1767225600, {..}]`), not a list of records.
pub(super) fn is_tuple(bytes: &[u8]) -> bool {
    let Some((first, rest)) = element(bytes.trim_ascii_start().get(1..).unwrap_or_default()) else {
        return false;
    };
    let second = rest.trim_ascii_start().strip_prefix(b",").map(<[u8]>::trim_ascii_start);
    let second = second.and_then(|rest| Kind::of(*rest.first()?));
    first != Kind::Object && second.is_some_and(|second| second != first)
}

/// The kind of a JSON value, by its first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Text,
    Number,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::Text,
            b'0'..=b'9' | b'-' => Kind::Number,
            _ => return None,
        })
    }
}

/// The kind of the first element of an array and what follows it, if it is whole.
fn element(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    let bytes = bytes.trim_ascii_start();
    let kind = Kind::of(*bytes.first()?)?;
    let end = match kind {
        Kind::Number => bytes.iter().position(|b| matches!(b, b',' | b']'))?,
        Kind::Object | Kind::Array | Kind::Text => {
            let (mut depth, mut string, mut escaped) = (0usize, false, false);
            1 + bytes.iter().position(|byte| {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if string => escaped = true,
                    b'"' => string = !string,
                    b'{' | b'[' if !string => depth += 1,
                    b'}' | b']' if !string => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0 && !string && !escaped
            })?
        }
    };
    Some((kind, bytes.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_and_lists_of_records() {
        for one in [
            r#"["tag",1767225600,{"a":1}]"#,
            r#" [ "t,[\"a" , [ [1,{}] ] ]"#,
            r#"[1767225600.5,{"log":""#,
            r#"[[1.5,{"m":"]"}],{"log":"x"}]"#,
        ] {
            assert!(is_tuple(one.as_bytes()), "{one}");
        }
        for list in [
            r#"[{"a":1},{"b":2}]"#,
            r#"[{"a":1},2]"#,
            r#"["{}","{}"]"#,
            r#"["{}"]"#,
            r#"[[{}],[{}]]"#,
            "[",
            "[]",
            r#"["cut"#,
            "{}",
            "",
        ] {
            assert!(!is_tuple(list.as_bytes()), "{list}");
        }
    }
}

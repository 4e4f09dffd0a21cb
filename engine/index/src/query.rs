//! From the text of a query to its tree. Not what the tree means for the index: see `compile`.

use sluice_event::EntityKind;
use sluice_rule::suggest;

use crate::{
    QueryError,
    fields::{FieldKind, NAMES},
};

/// Bytes of a query.
const MOST_BYTES: usize = 4096;
/// Words, phrases and fields of a query.
const MOST_CLAUSES: usize = 64;
/// Parentheses and negations inside each other.
const DEEPEST: usize = 16;

/// A parsed query.
#[derive(Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) root: QueryNode,
    /// Whether `state:` or `id:` stands in it, which brings withdrawn findings back.
    pub(crate) withdrawn: bool,
}

/// A part of a query.
#[derive(Debug, PartialEq)]
pub(crate) enum QueryNode {
    /// All of them; none: everything.
    And(Vec<QueryNode>),
    /// Any of them.
    Or(Vec<QueryNode>),
    Not(Box<QueryNode>),
    Clause(Clause),
}

/// What one field must have.
#[derive(Debug, PartialEq)]
pub(crate) struct Clause {
    pub(crate) target: Target,
    pub(crate) value: Value,
    /// Where the value stands, characters from 0.
    pub(crate) at: usize,
}

/// Where a clause looks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// Everywhere.
    All,
    /// A field of [`NAMES`].
    Field(&'static str, FieldKind),
    /// A column that the rule selected.
    Column(String),
    /// An entity of a kind.
    Entity(EntityKind),
}

/// What a clause looks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Prefix(String),
    /// `*`
    Any,
    Range(End, End),
}

/// An end of a range.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Open,
    With(String),
    Without(String),
}

/// Whether a query can be read, without an index.
///
/// # Errors
/// What is wrong with its form. Words that a field does not know are found by the search.
///
/// ```
/// assert!(sluice_index::check("severity:high -status:resolved user:ann").is_ok());
/// assert!(sluice_index::check("severity:(high").is_err());
/// ```
pub fn check(query: &str) -> Result<(), QueryError> {
    parse(query).map(|_| ())
}

pub(crate) fn parse(text: &str) -> Result<Parsed, QueryError> {
    if text.len() > MOST_BYTES {
        return Err(QueryError::new(format!(
            "the query has {} bytes, at most {MOST_BYTES} are read",
            text.len()
        )));
    }
    let mut parser =
        Parser { chars: text.chars().collect(), at: 0, depth: 0, clauses: 0, withdrawn: false };
    let root = parser.any_of(&Target::All)?;
    if parser.peek().is_some() {
        return Err(QueryError::new("a `)` without its `(`")
            .at(parser.at)
            .hint("to search for it, put it in quotes"));
    }
    Ok(Parsed { root, withdrawn: parser.withdrawn })
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    clauses: usize,
    withdrawn: bool,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn eat(&mut self, char: char) -> bool {
        let found = self.peek() == Some(char);
        self.at += usize::from(found);
        found
    }

    /// Takes an operator that stands as a word of its own.
    fn eat_operator(&mut self, word: &str) -> bool {
        let end = self.at + word.len();
        let found =
            self.chars.get(self.at..end).is_some_and(|c| c.iter().copied().eq(word.chars()))
                && self
                    .chars
                    .get(end)
                    .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'));
        if found {
            self.at = end;
        }
        found
    }

    /// `a OR b`; ends before `)` or at the end.
    fn any_of(&mut self, target: &Target) -> Result<QueryNode, QueryError> {
        let mut nodes = vec![self.all_of(target)?];
        loop {
            let at = self.at;
            if !self.eat_operator("OR") {
                break;
            }
            let right = self.all_of(target)?;
            if nodes.iter().chain([&right]).any(|n| *n == QueryNode::And(Vec::new())) {
                return Err(QueryError::new("`OR` needs something on both sides")
                    .at(at)
                    .hint("to search for the word, write `or`"));
            }
            nodes.push(right);
        }
        Ok(single(nodes, QueryNode::Or))
    }

    /// `a b`, `a AND b`; ends before OR, `)` or at the end.
    fn all_of(&mut self, target: &Target) -> Result<QueryNode, QueryError> {
        let mut nodes = Vec::new();
        loop {
            self.skip_space();
            let at = self.at;
            let and = self.eat_operator("AND");
            self.skip_space();
            let ends = matches!(self.peek(), None | Some(')')) || self.at_or();
            if and && (ends || nodes.is_empty()) {
                return Err(QueryError::new("`AND` needs something on both sides")
                    .at(at)
                    .hint("to search for the word, write `and`"));
            }
            if ends {
                break;
            }
            nodes.push(self.one(target)?);
        }
        Ok(single(nodes, QueryNode::And))
    }

    /// Whether OR comes next.
    fn at_or(&mut self) -> bool {
        let at = self.at;
        let found = self.eat_operator("OR");
        self.at = at;
        found
    }

    /// A negation, a group or a clause.
    fn one(&mut self, target: &Target) -> Result<QueryNode, QueryError> {
        let at = self.at;
        let dash = self.peek() == Some('-')
            && self.chars.get(at + 1).is_some_and(|c| !c.is_whitespace() && *c != ')');
        if dash || self.eat_operator("NOT") {
            self.at += usize::from(dash);
            self.skip_space();
            if matches!(self.peek(), None | Some(')')) || self.at_or() {
                return Err(QueryError::new("`NOT` needs something on its right")
                    .at(at)
                    .hint("to search for the word, write `not`"));
            }
            self.descend(at)?;
            let node = self.one(target)?;
            self.depth -= 1;
            return Ok(QueryNode::Not(Box::new(node)));
        }
        if self.eat('(') {
            return self.group(target, at);
        }
        if *target != Target::All {
            return self.value(target.clone());
        }
        match self.field()? {
            Some(Target::Field(name @ ("state" | "id"), kind)) => {
                self.withdrawn = true;
                self.value(Target::Field(name, kind))
            }
            Some(target) => self.value(target),
            None => self.value(Target::All),
        }
    }

    /// What stands in parentheses, after the first.
    fn group(&mut self, target: &Target, at: usize) -> Result<QueryNode, QueryError> {
        self.descend(at)?;
        let node = self.any_of(target)?;
        if !self.eat(')') {
            return Err(QueryError::new("a `(` without its `)`")
                .at(at)
                .hint("to search for it, put it in quotes"));
        }
        if node == QueryNode::And(Vec::new()) {
            return Err(QueryError::new("nothing between `(` and `)`").at(at));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn descend(&mut self, at: usize) -> Result<(), QueryError> {
        self.depth += 1;
        match self.depth > DEEPEST {
            true => {
                Err(QueryError::new(format!("more than {DEEPEST} levels of parentheses and NOT"))
                    .at(at))
            }
            false => Ok(()),
        }
    }

    /// The field before a colon, with the colon; `None` if the word is no field.
    fn field(&mut self) -> Result<Option<Target>, QueryError> {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let length =
            rest.iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).count();
        let starts = rest.first().is_some_and(|c| c.is_ascii_alphabetic() || *c == '_');
        if !starts || rest.get(length) != Some(&':') {
            return Ok(None);
        }
        let name: String = rest.iter().take(length).collect();
        let target = if let Some((name, kind)) = NAMES.iter().find(|(n, _)| *n == name) {
            Target::Field(name, *kind)
        } else if let Some(kind) = EntityKind::parse(&name) {
            Target::Entity(kind)
        } else if let Some(column) = name.strip_prefix("fields.").filter(|c| !c.is_empty()) {
            Target::Column(column.to_lowercase())
        } else {
            let value: Vec<char> = rest
                .iter()
                .skip(length + 1)
                .copied()
                .take_while(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"'))
                .collect();
            // `arn:aws:iam::1:user/x`, `fe80::1`, `https://x`, `C:\x` are no fields.
            let more = value.contains(&':');
            let path =
                value.starts_with(&['/', '/']) || (length == 1 && value.first() == Some(&'\\'));
            return match more || path {
                true => Ok(None),
                false => Err(unknown_field(&name, self.at)),
            };
        };
        self.at += length + 1;
        Ok(Some(target))
    }

    /// What stands after a field, or a bare word or phrase.
    fn value(&mut self, target: Target) -> Result<QueryNode, QueryError> {
        let at = self.at;
        let bare = target == Target::All;
        match self.peek() {
            Some('(') => {
                self.at += 1;
                return self.group(&target, at);
            }
            None | Some(')') => return Err(no_value(at)),
            Some(c) if c.is_whitespace() => return Err(no_value(at)),
            Some(_) => {}
        }
        self.clauses += 1;
        if self.clauses > MOST_CLAUSES {
            return Err(
                QueryError::new(format!("more than {MOST_CLAUSES} words and fields")).at(at)
            );
        }
        let value = match self.peek() {
            Some('"') => self.quoted()?,
            Some('[' | '{') if !bare => self.range()?,
            Some('<' | '>') if !bare => {
                let above = self.eat('>') || !self.eat('<');
                let with = self.eat('=');
                let end = self.operand(at)?;
                let end = if with { End::With(end) } else { End::Without(end) };
                match above {
                    true => Value::Range(end, End::Open),
                    false => Value::Range(End::Open, end),
                }
            }
            _ => self.word()?,
        };
        Ok(QueryNode::Clause(Clause { target, value, at }))
    }

    /// The value after `<` or `>`.
    fn operand(&mut self, at: usize) -> Result<String, QueryError> {
        match self.peek() {
            None | Some('(' | ')') => return Err(no_value(at)),
            Some(c) if c.is_whitespace() => return Err(no_value(at)),
            Some(_) => {}
        }
        match if self.peek() == Some('"') { self.quoted()? } else { self.word()? } {
            Value::Text(text) => Ok(text),
            _ => Err(QueryError::new("a range has no wildcard").at(at)),
        }
    }

    /// `[a TO b]`, `{a TO b}`, `[a TO *]`.
    fn range(&mut self) -> Result<Value, QueryError> {
        let at = self.at;
        let form = || {
            QueryError::new("this is no range")
                .at(at)
                .hint("`[5 TO 10]`, `{5 TO *]`; `{` and `}` leave the end out")
        };
        let with_low = self.eat('[') || !self.eat('{');
        let mut words = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(']' | '}') => break,
                Some('"') => match self.quoted()? {
                    Value::Text(text) => words.push(text),
                    _ => return Err(form()),
                },
                Some(_) => {
                    let start = self.at;
                    while self
                        .peek()
                        .is_some_and(|c| !c.is_whitespace() && !matches!(c, ']' | '}' | '"'))
                    {
                        self.at += 1;
                    }
                    words.push(self.chars.get(start..self.at).unwrap_or_default().iter().collect());
                }
                None => return Err(form()),
            }
        }
        let with_high = self.eat(']') || !self.eat('}');
        let [low, to, high] = words.as_slice() else { return Err(form()) };
        if to != "TO" {
            return Err(form());
        }
        let end = |word: &String, with| match (word.as_str(), with) {
            ("*", _) => End::Open,
            (_, true) => End::With(word.clone()),
            (_, false) => End::Without(word.clone()),
        };
        Ok(Value::Range(end(low, with_low), end(high, with_high)))
    }

    /// `"..."`, `"..."*`; `\"` and `\\` stand for themselves, other backslashes too.
    fn quoted(&mut self) -> Result<Value, QueryError> {
        let at = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(QueryError::new("a quote that does not end").at(at)),
                Some('"') => break,
                Some('\\') if matches!(self.chars.get(self.at + 1), Some('"' | '\\')) => {
                    text.extend(self.chars.get(self.at + 1));
                    self.at += 2;
                }
                Some(c) => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(if self.eat('*') { Value::Prefix(text) } else { Value::Text(text) })
    }

    /// Up to white space, a parenthesis or a quote.
    fn word(&mut self) -> Result<Value, QueryError> {
        let at = self.at;
        while self.peek().is_some_and(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"')) {
            self.at += 1;
        }
        let mut text: String = self.chars.get(at..self.at).unwrap_or_default().iter().collect();
        if text == "*" {
            return Ok(Value::Any);
        }
        if is_regex(&text) {
            return Err(QueryError::new("regular expressions are not searched for")
                .at(at)
                .hint("`word*` finds beginnings; hunts take regular expressions; quotes search for it as it stands"));
        }
        match text.chars().position(|c| c == '*') {
            None => Ok(Value::Text(text)),
            Some(0) => Err(QueryError::new("a word cannot begin with a wildcard")
                .at(at)
                .hint("name its beginning, `word*`, or a part between punctuation: `example` finds `ann@example.com`")),
            Some(star) if at + star + 1 == self.at => {
                text.pop();
                Ok(Value::Prefix(text))
            }
            Some(star) => Err(QueryError::new("a wildcard stands at the end of a word only")
                .at(at + star)
                .hint("to search for `*` as it stands, put the word in quotes")),
        }
    }
}

/// One node alone stands for itself.
fn single(mut nodes: Vec<QueryNode>, many: fn(Vec<QueryNode>) -> QueryNode) -> QueryNode {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => many(nodes),
    }
}

/// `/etc/cron.d/` is a folder, `/a.*b/` is not.
fn is_regex(text: &str) -> bool {
    text.len() > 2
        && text.starts_with('/')
        && text.ends_with('/')
        && text.contains(['*', '+', '[', '{', '|', '^', '$', '\\'])
}

fn no_value(at: usize) -> QueryError {
    QueryError::new("a value is missing")
        .at(at)
        .hint("the value follows at once: `severity:high`, `title:\"two words\"`, `assignee:*`")
}

fn unknown_field(name: &str, at: usize) -> QueryError {
    let names = || NAMES.iter().map(|(name, _)| *name);
    let mut error = QueryError::new(format!("no field `{name}`")).at(at);
    if let Some(near) = suggest(name, names()) {
        error = error.detail(format!("did you mean `{near}`?"));
    }
    error.hint(format!(
        "fields are {}, `fields.COLUMN`, and entities {}; a column of the rule is `fields.{name}:`; quotes search for it as it stands",
        names().collect::<Vec<_>>().join(", "),
        EntityKind::ALL.map(EntityKind::name).join(", "),
    ))
}

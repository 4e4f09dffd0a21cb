//! From the tree of a query to a query of the index.

use std::ops::Bound;

use sluice_event::EntityKind;
use sluice_finding::{FindingId, FindingState, Reason, TriageStatus};
use sluice_rule::{Severity, attacks, parse_duration, resolve_time, suggest};
use tantivy::{
    Term,
    query::{
        AllQuery, BooleanQuery, EmptyQuery, ExistsQuery, InvertedIndexRangeQuery, Occur,
        PhrasePrefixQuery, PhraseQuery, Query, RangeQuery, TermQuery,
    },
    schema::{Field, IndexRecordOption},
    tokenizer::TokenStream,
};

use crate::{
    QueryError, SearchError, SearchRequest,
    deadline::{Bounded, Deadline},
    document::id_term,
    fields::{FieldKind, Fields, column_term, words},
    forward::Forward,
    query::{Clause, End, Parsed, QueryNode, Target, Value},
};

/// Words of one phrase.
const LONGEST_PHRASE: usize = 32;
/// Letters before a wildcard: one would read a large part of the index.
const SHORTEST_PREFIX: usize = 2;
/// Endings of the last word of a phrase with a wildcard that are tried in each segment.
const MOST_ENDINGS: u32 = 1_000;

type Part = Box<dyn Query>;

/// A query of the index.
pub(crate) struct Compiled {
    pub(crate) query: Part,
    /// What has one of these terms is no match.
    pub(crate) without: Vec<Term>,
}

/// The query of a request: its text, its times, and without withdrawn findings unless asked for.
pub(crate) fn compile(
    fields: &Fields,
    parsed: &Parsed,
    request: &SearchRequest,
    deadline: &Deadline,
) -> Result<Compiled, SearchError> {
    let compiler = Compiler { fields, now: request.now, deadline };
    let mut parts = vec![compiler.node(&parsed.root)?];
    let mut without = Vec::new();
    if let Some(time) = fields.named("time").filter(|_| request.from.or(request.to).is_some()) {
        let (from, to) = (request.from.unwrap_or(i64::MIN), request.to.unwrap_or(i64::MAX));
        if from > to {
            return Err(SearchError::Request("`from` is after `to`".to_owned()));
        }
        parts.push(between(time, from, to));
    }
    match request.shadow {
        Some(true) => parts.push(compiler.term("shadow", "true")),
        // Few are on trial: taking them away reads less than finding all others.
        Some(false) => without.extend(fields.term("shadow", "true")),
        None => {}
    }
    if !parsed.withdrawn {
        without.extend(fields.term("state", FindingState::Withdrawn.name()));
    }
    let query = match parts.len() {
        1 => parts.remove(0),
        _ => Box::new(BooleanQuery::intersection(parts)),
    };
    Ok(Compiled { query, without })
}

struct Compiler<'a> {
    fields: &'a Fields,
    now: i64,
    deadline: &'a Deadline,
}

impl Compiler<'_> {
    fn node(&self, node: &QueryNode) -> Result<Part, QueryError> {
        Ok(match node {
            QueryNode::Clause(clause) => self.clause(clause)?,
            QueryNode::And(nodes) if nodes.is_empty() => Box::new(AllQuery),
            QueryNode::And(nodes) => self.all_of(nodes)?,
            QueryNode::Not(_) => self.all_of(std::slice::from_ref(node))?,
            QueryNode::Or(nodes) => Box::new(BooleanQuery::union(
                nodes.iter().map(|n| self.node(n)).collect::<Result<_, _>>()?,
            )),
        })
    }

    fn all_of(&self, nodes: &[QueryNode]) -> Result<Part, QueryError> {
        let mut parts = nodes
            .iter()
            .map(|node| {
                Ok::<(Occur, Part), QueryError>(match node {
                    QueryNode::Not(inner) => (Occur::MustNot, Box::new(Forward(self.node(inner)?))),
                    node => (Occur::Must, self.node(node)?),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if parts.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            // Something must be there to take away from.
            parts.push((Occur::Must, Box::new(AllQuery)));
        }
        Ok(Box::new(BooleanQuery::new(parts)))
    }

    fn clause(&self, clause: &Clause) -> Result<Part, QueryError> {
        let Clause { target, value, at } = clause;
        let compiled = match target {
            Target::All => self.bare(value),
            Target::Entity(kind) => match value {
                Value::Text(text) => Ok(self.term("entity", &format!("{}:{text}", kind.name()))),
                Value::Prefix(text) => {
                    Ok(self.starts("entity", &format!("{}:{text}", kind.name())))
                }
                Value::Any => Ok(self.term("entity_kind", kind.name())),
                Value::Range(..) => Err(no_range(kind.name())),
            },
            Target::Column(path) => self.column(path, value),
            Target::Field(name, kind) => match kind {
                FieldKind::Exact => self.exact(name, value),
                FieldKind::Word => self.word(name, value),
                FieldKind::Text => self.text(name, value),
                FieldKind::Number => self.interval(name, value, whole),
                FieldKind::Time => self.interval(name, value, |text| time(text, self.now)),
            },
        };
        compiled.map_err(|error| error.at(*at))
    }

    fn bare(&self, value: &Value) -> Result<Part, QueryError> {
        let all = self.fields.all;
        match value {
            Value::Any => Ok(Box::new(AllQuery)),
            Value::Range(..) => Err(no_range("a bare word")),
            Value::Prefix(text) => self.phrase(text, true, |word| Term::from_field_text(all, word)),
            Value::Text(text) => {
                let found = self.phrase(text, false, |word| Term::from_field_text(all, word))?;
                let id = (text.len() == 32).then(|| text.parse().ok()).flatten();
                Ok(match id.and_then(|id: FindingId| id_term(self.fields, id)) {
                    Some(id) => Box::new(BooleanQuery::union(vec![found, exactly(id)])),
                    None => found,
                })
            }
        }
    }

    fn exact(&self, name: &str, value: &Value) -> Result<Part, QueryError> {
        match value {
            Value::Range(..) => Err(no_range(name)),
            Value::Any => Ok(match name {
                // Every finding has an id; one without entities has no kind of them.
                "id" => Box::new(AllQuery),
                "entity" => exists("entity_kind"),
                name => exists(name),
            }),
            Value::Prefix(text) => Ok(self.starts(name, text)),
            Value::Text(text) if name == "tactic" => Ok(self.term(name, tactic(text))),
            Value::Text(text) => Ok(self.term(name, text)),
        }
    }

    fn word(&self, name: &str, value: &Value) -> Result<Part, QueryError> {
        let known = known_words(name);
        let find = |text: &str| {
            let text = text.to_lowercase();
            known.iter().position(|w| *w == text).ok_or_else(|| unknown_word(name, &text, &known))
        };
        match value {
            Value::Any => Ok(exists(name)),
            Value::Prefix(text) => Ok(self.starts(name, text)),
            Value::Text(text) => {
                let at = find(text)?;
                Ok(self.term(name, known.get(at).copied().unwrap_or_default()))
            }
            Value::Range(low, high) if name == "severity" => {
                let from = match low {
                    End::Open => 0,
                    End::With(word) => find(word)?,
                    End::Without(word) => find(word)? + 1,
                };
                let to = match high {
                    End::Open => known.len(),
                    End::With(word) => find(word)? + 1,
                    End::Without(word) => find(word)?,
                };
                Ok(match known.get(from..to) {
                    Some(words @ [_, ..]) => Box::new(BooleanQuery::union(
                        words.iter().map(|w| self.term(name, w)).collect(),
                    )),
                    _ => Box::new(EmptyQuery),
                })
            }
            Value::Range(..) => Err(no_range(name)),
        }
    }

    fn text(&self, name: &str, value: &Value) -> Result<Part, QueryError> {
        let Some(field) = self.fields.named(name) else { return Ok(Box::new(EmptyQuery)) };
        let term = |word: &str| Term::from_field_text(field, word);
        match value {
            Value::Any => Ok(Box::new(AllQuery)),
            Value::Text(text) => self.phrase(text, false, term),
            Value::Prefix(text) => self.phrase(text, true, term),
            Value::Range(..) => Err(no_range(name)),
        }
    }

    fn column(&self, path: &str, value: &Value) -> Result<Part, QueryError> {
        let field = self.fields.columns;
        match value {
            Value::Any => Ok(self.starts_with(column_term(field, path, ""))),
            Value::Text(text) => self.phrase(text, false, |w| column_term(field, path, w)),
            Value::Prefix(text) => self.phrase(text, true, |w| column_term(field, path, w)),
            Value::Range(low, high) => {
                let bound = |end: &End| {
                    let number = |text: &String| {
                        let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
                        let number = number.ok_or_else(|| not(text, "a number", "`5`, `1e6`"))?;
                        let mut term = Term::from_field_json_path(self.fields.numbers, path, true);
                        term.append_type_and_fast_value(number);
                        Ok::<_, QueryError>(term)
                    };
                    Ok(match end {
                        End::Open => Bound::Unbounded,
                        End::With(text) => Bound::Included(number(text)?),
                        End::Without(text) => Bound::Excluded(number(text)?),
                    })
                };
                let (low, high) = (bound(low)?, bound(high)?);
                match (&low, &high) {
                    (Bound::Unbounded, Bound::Unbounded) => {
                        Ok(self.starts_with(column_term(field, path, "")))
                    }
                    _ => Ok(Box::new(RangeQuery::new(low, high))),
                }
            }
        }
    }

    /// A number or time: each value is an interval `[start, end)`, a date its whole day.
    fn interval(
        &self,
        name: &str,
        value: &Value,
        read: impl Fn(&str) -> Result<(i64, i64), QueryError>,
    ) -> Result<Part, QueryError> {
        let Some(field) = self.fields.named(name) else { return Ok(Box::new(EmptyQuery)) };
        let (from, to) = match value {
            Value::Any => return Ok(Box::new(AllQuery)),
            Value::Prefix(_) => {
                return Err(QueryError::new(format!("`{name}` has no wildcard"))
                    .hint(format!("a range: `{name}:[a TO b]`, `{name}:>=a`")));
            }
            Value::Text(text) => read(text)?,
            Value::Range(low, high) => {
                let from = match low {
                    End::Open => i64::MIN,
                    End::With(text) => read(text)?.0,
                    End::Without(text) => read(text)?.1,
                };
                let to = match high {
                    End::Open => i64::MAX,
                    End::With(text) => read(text)?.1,
                    End::Without(text) => read(text)?.0,
                };
                (from, to)
            }
        };
        Ok(between(field, from, to))
    }

    /// The whole value of a field, case aside.
    fn term(&self, name: &str, value: &str) -> Part {
        match self.fields.term(name, value) {
            Some(term) => exactly(term),
            None => Box::new(EmptyQuery),
        }
    }

    fn starts(&self, name: &str, start: &str) -> Part {
        match self.fields.term(name, start) {
            Some(term) => self.starts_with(term),
            None => Box::new(EmptyQuery),
        }
    }

    /// Every term with these first bytes.
    fn starts_with(&self, term: Term) -> Part {
        let bytes = term.serialized_value_bytes();
        let mut end = bytes.to_vec();
        // 0xFF ends no UTF-8 text: the last byte always has a next one.
        if let Some(last) = end.last_mut() {
            *last = last.saturating_add(1);
        }
        let end = match end.is_empty() {
            true => Bound::Unbounded,
            false => {
                let mut next = term.clone();
                next.truncate_value_bytes(0);
                next.append_bytes(&end);
                Bound::Excluded(next)
            }
        };
        self.bounded(InvertedIndexRangeQuery::new(Bound::Included(term), end))
    }

    /// The words of a text next to each other, in order; with `prefix` the last one is a beginning.
    fn phrase(
        &self,
        text: &str,
        prefix: bool,
        term: impl Fn(&str) -> Term,
    ) -> Result<Part, QueryError> {
        let mut analyzer = words();
        let mut stream = analyzer.token_stream(text);
        let mut terms = Vec::new();
        let mut last = String::new();
        while stream.advance() {
            let token = stream.token();
            if terms.len() == LONGEST_PHRASE {
                return Err(QueryError::new(format!(
                    "a phrase of more than {LONGEST_PHRASE} words"
                )));
            }
            terms.push((token.position, term(&token.text)));
            last.clone_from(&token.text);
        }
        if prefix && last.chars().count() < SHORTEST_PREFIX {
            return Err(QueryError::new("too short for a wildcard")
                .hint(format!("at least {SHORTEST_PREFIX} letters or digits before `*`")));
        }
        // `end-*` is the word `end`, whatever follows.
        let prefix = prefix && text.ends_with(char::is_alphanumeric);
        match terms.len() {
            0 => Err(QueryError::new(format!("`{text}` has no letter or digit to search for"))
                .hint("words are runs of letters and digits; combine with AND, OR, NOT")),
            1 => Ok(match terms.remove(0).1 {
                term if prefix => self.starts_with(term),
                term => exactly(term),
            }),
            _ if prefix => {
                let mut query = PhrasePrefixQuery::new_with_offset(terms);
                query.set_max_expansions(MOST_ENDINGS);
                Ok(self.bounded(query))
            }
            _ => Ok(self.bounded(PhraseQuery::new_with_offset(terms))),
        }
    }

    fn bounded(&self, query: impl Query) -> Part {
        Box::new(Bounded { query: Box::new(query), deadline: self.deadline.clone() })
    }
}

fn exactly(term: Term) -> Part {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

fn exists(name: &str) -> Part {
    Box::new(ExistsQuery::new(name.to_owned(), false))
}

/// Values from `from` to before `to`.
fn between(field: Field, from: i64, to: i64) -> Part {
    if from >= to {
        return Box::new(EmptyQuery);
    }
    Box::new(RangeQuery::new(
        Bound::Included(Term::from_field_i64(field, from)),
        Bound::Excluded(Term::from_field_i64(field, to)),
    ))
}

fn known_words(name: &str) -> Vec<&'static str> {
    match name {
        "severity" => SEVERITIES.map(Severity::name).to_vec(),
        "status" => TriageStatus::ALL.map(TriageStatus::name).to_vec(),
        "reason" => Reason::ALL.map(Reason::name).to_vec(),
        "state" => [FindingState::Provisional, FindingState::Confirmed, FindingState::Withdrawn]
            .map(FindingState::name)
            .to_vec(),
        "entity_kind" => EntityKind::ALL.map(EntityKind::name).to_vec(),
        _ => vec!["true", "false"],
    }
}

/// Mildest first.
const SEVERITIES: [Severity; 5] =
    [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

/// The id of a tactic by its name: `initial access`, `initial-access`.
fn tactic(text: &str) -> &str {
    let name = text.to_lowercase().replace(['-', '_'], " ");
    attacks()
        .find(|a| a.id.starts_with("TA") && a.name.to_lowercase() == name)
        .map_or(text, |a| a.id)
}

fn whole(text: &str) -> Result<(i64, i64), QueryError> {
    let number: i64 =
        text.parse().map_err(|_| not(text, "a whole number", "`50`, `>=50`, `[5 TO 10]`"))?;
    Ok((number, number.saturating_add(1)))
}

/// `now`, `now-24h`, a date (its day) or an RFC 3339 time, as `[start, end)` in milliseconds.
fn time(text: &str, now: i64) -> Result<(i64, i64), QueryError> {
    const DAY: i64 = 86_400_000;
    let instant = match text.strip_prefix("now") {
        Some("") => Some(now),
        Some(offset) => match (offset.strip_prefix('-'), offset.strip_prefix('+')) {
            (Some(back), _) => parse_duration(back).and_then(|d| now.checked_sub(d)),
            (_, Some(ahead)) => parse_duration(ahead).and_then(|d| now.checked_add(d)),
            _ => None,
        },
        // An offset alone counts from the base of rule tests.
        None => {
            text.starts_with(|c: char| c.is_ascii_digit()).then(|| resolve_time(text)).flatten()
        }
    };
    let start = instant
        .ok_or_else(|| not(text, "a time", "`2026-01-31`, `2026-01-31T10:00:00Z`, `now-24h`"))?;
    let is_date = text.len() == 10 && !text.starts_with("now");
    Ok((start, start.saturating_add(if is_date { DAY } else { 1 })))
}

fn not(text: &str, what: &str, hint: &str) -> QueryError {
    QueryError::new(format!("`{text}` is not {what}")).hint(hint)
}

fn no_range(name: &str) -> QueryError {
    QueryError::new(format!("`{name}` has no range"))
        .hint("ranges are for time, risk, count, severity and numbers in `fields.COLUMN`")
}

fn unknown_word(name: &str, text: &str, known: &[&str]) -> QueryError {
    let error = QueryError::new(format!("`{name}` is never `{text}`"))
        .hint(format!("one of {}", known.join(", ")));
    match suggest(text, known.iter().copied()) {
        Some(near) => error.detail(format!("did you mean `{near}`?")),
        None => error,
    }
}

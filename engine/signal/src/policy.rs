//! Access decisions from levels: a resource has a rule by prefix, a rule has an action per level. Not
//! who enforces them, and not the wire of each gateway (AuthZEN: [`authzen`], OPA: [`opa`]).

pub mod authzen;
pub mod opa;

use crate::{EntityKey, EntityLevel, Level};

/// What a gateway is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Let in.
    Allow,
    /// Let in after stronger authentication (RFC 9470).
    StepUp,
    /// Keep out.
    Deny,
}

/// What is answered when levels cannot be read, the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotReady {
    /// As at `low`.
    Allow,
    /// That it failed: the gateway's own setting decides.
    Error,
    /// As at `high`.
    Deny,
}

/// The action for each level on resources below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A path prefix, `/` for everything. `/admin` covers `/admin` and `/admin/x`, not `/administer`.
    pub prefix: String,
    /// At `medium`.
    pub medium: Action,
    /// At `high`.
    pub high: Action,
    /// When levels cannot be read; `None`: as the policy says.
    pub not_ready: Option<NotReady>,
}

/// Rules; the longest prefix that covers a resource decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    not_ready: NotReady,
}

/// An answer with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// The level that decided it.
    pub level: Level,
    /// Whose level that is; `None` if nobody was named.
    pub entity: Option<EntityKey>,
    /// The score behind the level, 0 to 100.
    pub score: Option<f64>,
    /// Since when it has this level, milliseconds since 1970; `None` if it never had another.
    pub since: Option<i64>,
    /// Why, without personal data.
    pub reason: String,
    /// Until when it is quarantined, which denies everything; milliseconds since 1970.
    pub quarantined_until: Option<i64>,
}

const ACTIONS: [(Action, &str); 3] =
    [(Action::Allow, "allow"), (Action::StepUp, "step_up"), (Action::Deny, "deny")];

impl Action {
    /// The word in configuration and answers.
    pub fn name(self) -> &'static str {
        ACTIONS.iter().find(|(a, _)| *a == self).map_or("deny", |(_, name)| name)
    }

    /// The action of a word.
    pub fn parse(word: &str) -> Option<Action> {
        ACTIONS.iter().find(|(_, name)| *name == word).map(|(action, _)| *action)
    }
}

impl Rule {
    fn action(&self, level: Level) -> Action {
        match level {
            Level::Low => Action::Allow,
            Level::Medium => self.medium,
            Level::High => self.high,
        }
    }

    fn covers(&self, path: &str) -> bool {
        let prefix = self.prefix.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Policy {
    /// A policy. Without a rule for `/`, it is: step up at `medium`, deny at `high`. `not_ready` is for
    /// rules that do not say what is answered when levels cannot be read.
    pub fn new(mut rules: Vec<Rule>, not_ready: NotReady) -> Policy {
        if !rules.iter().any(|r| r.prefix == "/") {
            let (medium, high) = (Action::StepUp, Action::Deny);
            rules.push(Rule { prefix: "/".into(), medium, high, not_ready: None });
        }
        rules.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then(a.prefix.cmp(&b.prefix)));
        Policy { rules, not_ready }
    }

    /// Decides for all that a request is about: user, device, session. The strictest answer counts.
    pub fn decide<'l>(
        &self,
        resource: &str,
        entities: &[EntityKey],
        level: impl Fn(&EntityKey) -> Option<&'l EntityLevel>,
    ) -> Decision {
        let mut decided: Option<Decision> = None;
        for entity in entities {
            let known = level(entity);
            let level = known.map_or(Level::Low, |l| l.level);
            let quarantine = known.and_then(|l| l.quarantine.as_ref()).filter(|q| q.holds());
            let kind = entity.kind.name();
            let (action, reason) = match (quarantine, self.action(resource, level)) {
                (Some(_), _) => (Action::Deny, format!("{kind} is quarantined")),
                (None, (action, prefix)) => {
                    (action, format!("{kind} risk is {}, rule {prefix}", level.name()))
                }
            };
            let decision = Decision {
                action,
                level,
                entity: Some(entity.clone()),
                score: known.and_then(|l| l.score),
                since: known.map(|l| l.changed_at),
                reason,
                quarantined_until: quarantine.map(|q| q.until),
            };
            let weight = |d: &Decision| (d.action, d.level, d.quarantined_until.is_some());
            let stricter = |d: &Decision| weight(d) > weight(&decision);
            if !decided.as_ref().is_some_and(stricter) {
                decided = Some(decision);
            }
        }
        decided.unwrap_or_else(|| Decision {
            action: Action::Allow,
            level: Level::Low,
            entity: None,
            score: None,
            since: None,
            reason: "the request names nobody".into(),
            quarantined_until: None,
        })
    }

    /// What is answered about a resource when levels cannot be read: the strictest of all rules where it
    /// cannot be told which one covers it.
    pub fn not_ready(&self, resource: &str) -> NotReady {
        let of = |rule: &Rule| rule.not_ready.unwrap_or(self.not_ready);
        let path = normal(resource);
        let covering = path.and_then(|path| self.rules.iter().find(|r| r.covers(&path)));
        let strictest = || self.rules.iter().map(of).max().unwrap_or(self.not_ready);
        covering.map_or_else(strictest, of)
    }

    fn action(&self, resource: &str, level: Level) -> (Action, &str) {
        let strictest = || self.rules.iter().map(|r| r.action(level)).max().unwrap_or(Action::Deny);
        let Some(path) = normal(resource) else {
            return (strictest(), "(the resource is no plain path)");
        };
        match self.rules.iter().find(|r| r.covers(&path)) {
            Some(rule) => (rule.action(level), &rule.prefix),
            None => (strictest(), "(none)"),
        }
    }
}

/// A path as a server behind the gateway may read it: without query, decoded once, without `.`, `..`
/// and empty segments. `None` if it cannot be told what it means.
fn normal(resource: &str) -> Option<String> {
    let path = resource.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let [high, low, after @ ..] = after else { return None };
        let digit = |b: &u8| char::from(*b).to_digit(16);
        let byte = digit(high)? * 16 + digit(low)?;
        bytes.push(u8::try_from(byte).ok()?);
        rest = after;
    }
    let decoded = String::from_utf8(bytes).ok()?;
    // Encoded twice, or with a separator of another system: servers differ in what they make of it.
    if decoded.contains(['%', '\\', '\0', ';']) {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

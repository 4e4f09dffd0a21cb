//! Suppressions: findings that stay, without risk and incident. Whose, why, and until when is part of
//! each. Plain values and a pure match.

use std::sync::Arc;

use serde_json::Value;

use crate::{Entity, Finding};

/// A decision to let some findings pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Suppression {
    /// What it applies to: everything given must hold. Never empty.
    pub matcher: SuppressionMatch,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// From when, milliseconds since 1970 UTC.
    pub from: i64,
    /// Until when.
    pub until: i64,
    /// Findings it applied to.
    pub hits: u64,
    /// Event time of the latest of them.
    pub last_hit: Option<i64>,
}

/// What a suppression applies to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SuppressionMatch {
    /// Findings of this rule.
    pub rule: Option<Arc<str>>,
    /// Findings about this entity.
    pub entity: Option<Entity>,
    /// Findings with this value in this column.
    pub field: Option<(String, Value)>,
}

/// Why a suppression was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressionRefused {
    /// It names neither rule, entity nor field: it would hide everything.
    MatchesAll,
    /// It ends before it begins.
    Ended,
    /// Owner or reason is blank.
    Unexplained,
}

impl Suppression {
    /// A suppression without hits.
    ///
    /// # Errors
    /// One that matches everything, is over before it begins, or says neither who nor why.
    pub fn new(
        matcher: SuppressionMatch,
        owner: &str,
        reason: &str,
        from: i64,
        until: i64,
    ) -> Result<Suppression, SuppressionRefused> {
        if matcher == SuppressionMatch::default() {
            return Err(SuppressionRefused::MatchesAll);
        }
        if until <= from {
            return Err(SuppressionRefused::Ended);
        }
        let (owner, reason) = (owner.trim().to_owned(), reason.trim().to_owned());
        if owner.is_empty() || reason.is_empty() {
            return Err(SuppressionRefused::Unexplained);
        }
        Ok(Suppression { matcher, owner, reason, from, until, hits: 0, last_hit: None })
    }

    /// Whether it applies to a finding, by the finding's own time.
    pub fn applies_to(&self, finding: &Finding) -> bool {
        let SuppressionMatch { rule, entity, field } = &self.matcher;
        (self.from..self.until).contains(&finding.time)
            && rule.as_ref().is_none_or(|rule| *rule == finding.rule_id)
            && entity.as_ref().is_none_or(|entity| finding.entities.contains(entity))
            && field.as_ref().is_none_or(|(name, value)| finding.fields.get(name) == Some(value))
    }

    /// Counts a finding it applies to.
    pub fn hit(&mut self, finding: &Finding) {
        self.hits += 1;
        self.last_hit = self.last_hit.max(Some(finding.time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> SuppressionMatch {
        SuppressionMatch { rule: Some(name.into()), ..SuppressionMatch::default() }
    }

    #[test]
    fn one_that_hides_everything_or_explains_nothing_is_refused() {
        let everything = SuppressionMatch::default();
        let new = Suppression::new;
        assert_eq!(new(everything, "ann", "why", 0, 1), Err(SuppressionRefused::MatchesAll));
        assert_eq!(new(rule("x"), "ann", "why", 1, 1), Err(SuppressionRefused::Ended));
        assert_eq!(new(rule("x"), "ann", " ", 0, 1), Err(SuppressionRefused::Unexplained));
        assert_eq!(new(rule("x"), "", "why", 0, 1), Err(SuppressionRefused::Unexplained));
        assert!(new(rule("x"), "ann", "why", 0, 1).is_ok());
    }
}

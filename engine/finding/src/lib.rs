//! Findings: what detection says, as plain values and pure functions.
//!
//! It is: [`Finding`] (OCSF Detection Finding, class 2004), its deterministic [`FindingId`], and how
//! a repeated or corrected finding folds into the one already known, and what people did about it
//! ([`Triage`]). It is not: a store, a wire
//! format (the API and the CLI have views), or the rule that made it. No IO, no clock.
#![forbid(unsafe_code)]

mod finding;
mod fold;
mod id;
mod triage;

pub use finding::{Entity, Finding, FindingState};
pub use fold::fold;
pub use id::FindingId;
pub use triage::{Reason, Triage, TriageChange, TriageEntry, TriageStatus};

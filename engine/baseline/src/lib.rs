//! Behavioural baselines: what each entity usually does, and how unusual a unit of its activity is.
//!
//! It is: profiles, populations, scores, calibration and quarantined learning over rows that somebody
//! else selected. It is not: SQL, a store, a clock, or the risk of an entity. Threads of its own find
//! peer groups and work off the end of a day, and change no result. Time is the
//! time of events alone, and nothing depends on the order in which rows arrive within the lateness.
//!
//! The flow of a row, in order:
//! 1. [`Baseline::push`] resolves it ([`Row`] to value hashes) and adds it to the open unit of its
//!    entity: a UTC day, a session, or a block of N events ([`Unit`]);
//! 2. [`Baseline::advance`] takes the final watermark. A unit whose end it has passed is scored
//!    against the entity's profile and the population of the day ([`UnitScore`]), then quarantined;
//! 3. after the delay the unit is merged into the profile with a weight that falls with its score,
//!    its change of the population is published with the next day, and its score joins the
//!    calibration histograms;
//! 4. a unit whose calibrated tail probability is below the alarm rate is an [`Anomaly`] with its
//!    explanation. Days that are still open are looked at as rows come ([`Baseline::open_anomalies`]).
//!
//! The model: for entity e and value x, `s = ln p_org(x) - ln p_self(x)` nats, where `p_self` is the
//! posterior mean of the entity's counts under a Dirichlet prior centred on its peers or the
//! organisation (the likelihood ratio of Freeman et al., NDSS 2016, with the attacker's law taken as
//! the population's). Counts and distinct counts use tails of a negative binomial, numbers tails of
//! a log-binned histogram. [`POLICY`] holds every constant, one set for all baselines.
#![forbid(unsafe_code)]

mod anomaly;
mod calibration;
mod clusters;
mod codec;
mod comparison;
mod counts;
mod entity;
mod evaluation;
mod export;
mod found;
mod known;
mod model;
mod peers;
mod policy;
mod population;
mod profile;
mod row;
mod score;
mod shard;
mod spec;
mod tail;
mod unit;
mod verdicts;

pub use anomaly::{Anomaly, Confidence, FeatureScore, PeerGroup, UnitScore, ValueScore};
pub use calibration::Histogram;
pub use codec::{StateEntry, StateError};
pub use comparison::{ComparedGroup, Comparison, FeatureComparison, ValueComparison};
pub use evaluation::Evaluation;
pub use known::{Known, KnownEntity, KnownValue};
pub use model::{Baseline, Stats, Verdict};
pub use policy::{POLICY, Policy};
pub use profile::{EntityProfile, FeatureValues, RecentValue, UsualValue};
pub use row::{Row, Sample, hash_value, parse_offset, time_of_week};
pub use score::{LlrInput, clipped_llr, llr};
pub use spec::{Feature, FeatureKind, PeerSource, Spec, Unit, WINDOWS_MAX};
pub use tail::{negative_binomial_tail, sellke_nats};
pub use verdicts::Verdicts;

//! The constants of scoring and learning: one set for every baseline and data set. Not settings of a
//! deployment.

/// How units are scored and learned.
///
/// Ids in brackets are those of the design note; each value was chosen on the Schonlau and git
/// streams of `bench/` together, never per data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// L3: an event's likelihood ratio is clipped to this many nats either way.
    pub clip: f64,
    /// L4: an event that occurs m times in a unit weighs m to this power, since repeats within a
    /// unit are not independent.
    pub repeat_power: f64,
    /// G1: days a day unit stays in quarantine.
    pub delay_days: i64,
    /// G1: further units of the entity after which a session or block leaves quarantine.
    pub delay_units: u32,
    /// G7: an entity's first units, quarantined for one day only.
    pub learning_units: u32,
    /// G7: units after which a profile is called confident.
    pub confident_units: u32,
    /// G2: the least weight a unit is merged with.
    pub weight_floor: f64,
    /// G2: how fast the weight falls, per nat of mean score.
    pub weight_slope: f64,
    /// G3: the effective count is capped at this many median units.
    pub cap_units: f64,
    /// G3: and never below this.
    pub cap_min: f64,
    /// G4: weight of the prior, in median units.
    pub prior_units: f64,
    /// L1: weight of the organisation in a peer group's frequencies, in members.
    pub peer_prior: f64,
    /// Section 7: weight of the population's mean in an entity's mean count, in windows.
    pub count_prior: f64,
    /// Numbers of an entity after which the distance of another to them counts half.
    pub number_prior: f64,
    /// Most values kept per entity and feature; at 64 the Schonlau AUC falls from .967 to .940.
    pub profile_values_max: usize,
    /// G5: most distinct values of a feature counted in one unit.
    pub unit_values_max: usize,
    /// K: scores needed before a histogram replaces the bound `p <= exp(-s)`.
    pub calibration_min: u64,
    /// K: the largest surprise.
    pub surprise_max: f64,
    /// Most values of a feature in the population; beyond it a value has the floor frequency.
    pub population_values_max: usize,
    /// Most rows of open days that are remembered, so that one that comes again counts once; 16 bytes
    /// each. Further ones are counted, and if they come again, again.
    pub seen_max: usize,
    /// Most entities with a profile. At the bound none is taken on until the day's end, when the
    /// longest idle ones are evicted; 1 to 4 KB each.
    pub entities_max: usize,
}

/// The policy.
pub const POLICY: Policy = Policy {
    clip: 3.5,
    repeat_power: 0.5,
    delay_days: 5,
    delay_units: 10,
    learning_units: 3,
    confident_units: 20,
    weight_floor: 0.25,
    weight_slope: 0.5,
    cap_units: 70.0,
    cap_min: 300.0,
    prior_units: 2.0,
    peer_prior: 5.0,
    count_prior: 5.0,
    number_prior: 10.0,
    profile_values_max: 128,
    unit_values_max: 128,
    calibration_min: 1_000,
    surprise_max: 14.0,
    population_values_max: 262_144,
    seen_max: 8_388_608,
    entities_max: 262_144,
};

impl Default for Policy {
    fn default() -> Self {
        POLICY
    }
}

//! The score of a unit against its entity's profile and the day's population. Reads, never learns.

use crate::{
    Feature, FeatureKind, Policy, Sample, Spec,
    anomaly::{FeatureScore, ValueScore},
    counts::ProfileCounts,
    entity::{Entity, FeatureProfile, Scores, WindowProfile},
    peers::MEMBERS_MIN,
    population::{FeaturePopulation, Frequencies, Population},
    row::resolve,
    tail::negative_binomial_tail,
    unit::{ClosedFeature, ClosedUnit, bin_number, number_bin},
};

/// What the likelihood ratio of one value rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LlrInput {
    /// Occurrences of the value in the profile.
    pub seen: f64,
    /// All occurrences in the profile.
    pub of: f64,
    /// Share in the organisation, entity-weighted; above 0.
    pub organisation: f64,
    /// Share among peers; `organisation` where there are none.
    pub peers: f64,
    /// Weight of the prior in occurrences.
    pub prior: f64,
}

/// `ln p_org - ln p_self` in nats, `p_self = (seen + prior * p_peer) / (of + prior)`.
pub fn llr(input: LlrInput) -> f64 {
    let own = (input.seen + input.prior * input.peers) / (input.of + input.prior);
    input.organisation.ln() - own.ln()
}

/// [`llr`] within `clip` nats of 0.
pub fn clipped_llr(input: LlrInput, clip: f64) -> f64 {
    llr(input).clamp(-clip, clip)
}

/// The scores of a unit and how much of them rests on the entity's own history.
pub(crate) struct Scored {
    pub(crate) scores: Scores,
    pub(crate) confidence: f64,
}

/// Scores a closed unit, or an open one as it is now.
pub(crate) fn score(
    spec: &Spec,
    policy: &Policy,
    entity: &Entity,
    unit: &ClosedUnit,
    population: &Population,
) -> Scored {
    let mut total = 0.0;
    let mut confidences = (0.0, 0_u32);
    let features = each(spec, entity, unit, population)
        .map(|(declared, profile, seen, known)| {
            let prior = policy.prior_units * population.median;
            let (closed, immediate, confidence) = match (profile, seen) {
                (FeatureProfile::Values(profile), ClosedFeature::Values(values, _)) => {
                    if values.is_empty() {
                        return None;
                    }
                    let confidence = profile.total / (profile.total + prior);
                    let view =
                        View { declared, profile, known, group: entity.group, prior, policy };
                    let (closed, immediate) = match declared.kind {
                        FeatureKind::Numeric => view.numbers(values),
                        _ => view.values(values),
                    };
                    (closed, immediate, confidence)
                }
                (FeatureProfile::Windows(profile), ClosedFeature::Windows(seen)) => {
                    let tails: Vec<WindowTail> = seen
                        .iter()
                        .filter_map(|&(w, g, k)| window_tail(policy, profile, known, (w, g), k))
                        .collect();
                    let least = tails.iter().min_by(|a, b| a.p.total_cmp(&b.p))?;
                    let p = any_of(least.p, tails.len());
                    let (closed, immediate) = tail_scores(p, policy);
                    (closed, immediate, least.units / (least.units + policy.count_prior))
                }
                (FeatureProfile::Values(_) | FeatureProfile::Windows(_), _) => return None,
            };
            total += closed;
            confidences = (confidences.0 + confidence, confidences.1 + 1);
            Some((closed, immediate))
        })
        .collect();
    let confidence = confidences.0 / f64::from(confidences.1.max(1));
    Scored { scores: Scores { total, features }, confidence }
}

/// How unusual it would be for an entity to have a value once in a unit. See
/// [`Baseline::surprise`](crate::Baseline::surprise).
pub(crate) fn surprise_of(
    spec: &Spec,
    policy: &Policy,
    population: &Population,
    entity: &Entity,
    (feature, time, sample): (&str, i64, Sample<'_>),
) -> Option<f64> {
    let at = spec.features.iter().position(|f| *f.name == *feature)?;
    let (declared, known) = (spec.features.get(at)?, population.features.get(at)?);
    let FeatureProfile::Values(profile) = entity.profile.get(at)? else { return None };
    let key = resolve(declared, time, sample).ok()??;
    if population.sizes.is_empty() {
        return None;
    }
    let prior = policy.prior_units * population.median;
    let view = View { declared, profile, known, group: entity.group, prior, policy };
    let (score, _) = match declared.kind {
        FeatureKind::Numeric => view.numbers(&[(number_bin(f64::from_bits(key)), 1)]),
        FeatureKind::Categorical | FeatureKind::Edge | FeatureKind::TimeOfWeek => {
            view.values(&[(key, 1)])
        }
        FeatureKind::Count(_) | FeatureKind::Distinct(_) => return None,
    };
    Some(surprise(known.closed.p(score, 1, policy.calibration_min), policy))
}

/// The features of a unit that was scored, with the values that speak most for an anomaly.
pub(crate) fn explain(
    spec: &Spec,
    policy: &Policy,
    entity: &Entity,
    unit: &ClosedUnit,
    population: &Population,
    scores: &Scores,
    name: &dyn Fn(u64) -> Option<String>,
) -> Vec<FeatureScore> {
    let mut features: Vec<FeatureScore> = each(spec, entity, unit, population)
        .zip(&scores.features)
        .enumerate()
        .filter_map(|(place, ((declared, profile, seen, known), score))| {
            let (score, _) = (*score)?;
            let prior = policy.prior_units * population.median;
            let values = match (profile, seen) {
                (FeatureProfile::Values(profile), ClosedFeature::Values(values, _)) => {
                    let view =
                        View { declared, profile, known, group: entity.group, prior, policy };
                    view.explain(values, name)
                }
                (FeatureProfile::Windows(profile), ClosedFeature::Windows(seen)) => {
                    explain_windows(declared, policy, profile, known, seen)
                }
                (FeatureProfile::Values(_) | FeatureProfile::Windows(_), _) => Vec::new(),
            };
            let p = known.closed.p(score, unit.events, policy.calibration_min);
            Some(FeatureScore {
                place,
                feature: declared.name.clone(),
                tactic: declared.tactic.clone(),
                score,
                surprise: surprise(p, policy),
                values,
            })
        })
        .collect();
    features.sort_by(|a, b| {
        b.surprise
            .total_cmp(&a.surprise)
            .then(b.score.total_cmp(&a.score))
            .then(a.feature.cmp(&b.feature))
    });
    features
}

/// Whether a value, by itself, speaks for an anomaly: it is rarer for the entity than in the organisation.
/// One that does not cannot raise the mean of a unit that is not unusual, nor what single events can move.
pub(crate) fn speaks_for_anomaly(
    spec: &Spec,
    policy: &Policy,
    entity: &Entity,
    population: &Population,
    at: usize,
    value: u64,
) -> bool {
    let (Some(declared), Some(known)) = (spec.features.get(at), population.features.get(at)) else {
        return false;
    };
    let Some(FeatureProfile::Values(profile)) = entity.profile.get(at) else { return false };
    let prior = policy.prior_units * population.median;
    let view = View { declared, profile, known, group: entity.group, prior, policy };
    llr(view.input(value)) > 0.0
}

/// `-ln p`, bounded and rounded to 1e-6, so that comparisons do not hang on the last bit (P4).
pub(crate) fn surprise(p: f64, policy: &Policy) -> f64 {
    ((-p.ln()).clamp(0.0, policy.surprise_max) * 1e6).round() / 1e6 + 0.0
}

fn each<'a>(
    spec: &'a Spec,
    entity: &'a Entity,
    unit: &'a ClosedUnit,
    population: &'a Population,
) -> impl Iterator<Item = (&'a Feature, &'a FeatureProfile, &'a ClosedFeature, &'a FeaturePopulation)>
{
    let features = spec.features.iter().zip(&entity.profile);
    let features = features.zip(&unit.features).zip(&population.features);
    features.map(|(((declared, profile), seen), known)| (declared, profile, seen, known))
}

/// One feature of one entity, as its values are looked up.
pub(crate) struct View<'a> {
    pub(crate) declared: &'a Feature,
    pub(crate) profile: &'a ProfileCounts,
    pub(crate) known: &'a FeaturePopulation,
    pub(crate) group: Option<u64>,
    /// Weight of the prior in occurrences.
    pub(crate) prior: f64,
    pub(crate) policy: &'a Policy,
}

impl View<'_> {
    pub(crate) fn input(&self, value: u64) -> LlrInput {
        let smooth = self.declared.kind == FeatureKind::TimeOfWeek;
        let around = |get: &dyn Fn(u64) -> f64| match smooth {
            true => smoothed(value, get),
            false => get(value),
        };
        let org = &self.known.org;
        let floor = 1.0 / (org.sums.len() as f64 + 1.0);
        let organisation = (around(&|v| org.sum(v)) + floor) / (org.entities as f64 + 1.0);
        let group = self.group.and_then(|g| self.known.groups.get(&g));
        let peers = group.filter(|group| group.entities >= MEMBERS_MIN).map_or(
            organisation,
            |group: &Frequencies| {
                let beta = self.policy.peer_prior;
                let sum = around(&|v| group.sum(v));
                (sum + beta * organisation) / (group.entities as f64 + beta)
            },
        );
        LlrInput {
            seen: around(&|v| self.profile.get(v)),
            of: self.profile.total,
            organisation,
            peers,
            prior: self.prior,
        }
    }

    /// The mean clipped likelihood ratio, repeats damped; and a statistic that only grows with more
    /// rows.
    pub(crate) fn values(&self, values: &[(u64, u32)]) -> (f64, f64) {
        let (mut sum, mut positive, mut weight) = (0.0, 0.0, 0.0);
        for &(value, count) in values {
            let w = f64::from(count).powf(self.policy.repeat_power);
            let s = clipped_llr(self.input(value), self.policy.clip);
            sum += w * s;
            positive += w * s.max(0.0);
            weight += w;
        }
        (sum / weight, positive.ln_1p())
    }

    /// The tail of the most extreme number, either way, for as many numbers as there are; and how far
    /// the one farthest from all known numbers is from them.
    pub(crate) fn numbers(&self, values: &[(u64, u32)]) -> (f64, f64) {
        let least = values.iter().map(|(bin, _)| self.two_sided(*bin)).fold(1.0, f64::min);
        let (closed, immediate) = tail_scores(any_of(least, values.len()), self.policy);
        let novelty = Novelty::of(self.profile);
        let far = values.iter().map(|(bin, _)| novelty.nats(*bin, self.policy)).fold(0.0, f64::max);
        (closed.min(self.policy.clip) + far, (immediate + far).min(self.policy.surprise_max))
    }

    fn two_sided(&self, bin: u64) -> f64 {
        let (mut below, mut at) = (0.0, 0.0);
        for (b, count) in self.profile.iter() {
            if b < bin {
                below += count;
            } else if b == bin {
                at += count;
            }
        }
        let kept: f64 = self.profile.iter().map(|(_, count)| count).sum();
        let share = |bin: Option<u64>| {
            let at = bin.map_or(0, |b| self.known.cumulative.partition_point(|(x, _)| *x <= b));
            at.checked_sub(1)
                .and_then(|i| self.known.cumulative.get(i))
                .map_or(0.0, |(_, sum)| *sum)
        };
        let entities = self.known.org.entities as f64;
        // One more entity that is equally likely to be below, at and above.
        let floor = 1.0 / 3.0;
        let org_below = (share(bin.checked_sub(1)) + floor) / (entities + 1.0);
        let org_at = (share(Some(bin)) - share(bin.checked_sub(1)) + floor) / (entities + 1.0);
        let total = kept + self.prior;
        let lower = (below + at + self.prior * (org_below + org_at)) / total;
        let upper = (kept - below + self.prior * (1.0 - org_below)) / total;
        (2.0 * lower.min(upper)).clamp(f64::MIN_POSITIVE, 1.0)
    }

    fn explain(
        &self,
        values: &[(u64, u32)],
        name: &dyn Fn(u64) -> Option<String>,
    ) -> Vec<ValueScore> {
        let novelty = Novelty::of(self.profile);
        let mut all: Vec<(f64, u64, u32)> = values
            .iter()
            .map(|&(value, count)| {
                let weight = match self.declared.kind {
                    FeatureKind::Numeric => {
                        novelty.nats(value, self.policy) - self.two_sided(value).ln()
                    }
                    _ => {
                        let s = clipped_llr(self.input(value), self.policy.clip);
                        s * f64::from(count).powf(self.policy.repeat_power)
                    }
                };
                (weight, value, count)
            })
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let top = all.iter().filter(|(weight, ..)| *weight > 0.0).take(5);
        top.map(|&(_, value, count)| {
            let input = self.input(value);
            ValueScore {
                key: value,
                value: value_text(&self.declared.kind, value, &mut |hash| name(hash)),
                count: u64::from(count),
                seen: input.seen,
                of: input.of,
                expected: (input.seen + input.prior * input.peers) / (input.of + input.prior),
                peers: input.peers,
                organisation: input.organisation,
                self_nats: clipped_llr(input, self.policy.clip),
                peer_nats: input.organisation.ln() - input.peers.ln(),
                rarity_nats: -input.organisation.ln(),
            }
        })
        .collect()
    }
}

/// How far numbers are from those that an entity is known for.
struct Novelty<'a> {
    profile: &'a ProfileCounts,
    /// Standard deviation of the known numbers, and of their logarithms; above 0.
    spread: f64,
    spread_log: f64,
}

impl<'a> Novelty<'a> {
    fn of(profile: &'a ProfileCounts) -> Self {
        let spread = |scale: &dyn Fn(f64) -> f64| {
            let points = || profile.iter().map(|(bin, n)| (scale(bin_number(bin)), n));
            let all: f64 = points().map(|(_, n)| n).sum::<f64>().max(f64::MIN_POSITIVE);
            let mean = points().map(|(x, n)| n * x).sum::<f64>() / all;
            let square = points().map(|(x, n)| n * (x - mean) * (x - mean)).sum::<f64>() / all;
            // What is finer than a bin cannot be seen.
            square.sqrt().max(mean.abs() / 16.0).max(1e-9)
        };
        Novelty { profile, spread: spread(&|x| x), spread_log: spread(&log) }
    }

    /// Between 0 and twice the clip: grows with the distance to the nearest known number, in standard
    /// deviations, of the numbers and of their logarithms, and with how many are known.
    fn nats(&self, bin: u64, policy: &Policy) -> f64 {
        let (below, above) = self.profile.neighbours(bin);
        let x = bin_number(bin);
        let near = |scale: &dyn Fn(f64) -> f64, spread: f64| {
            let distance = |other: u64| (scale(x) - scale(bin_number(other))).abs() / spread;
            below.map_or(f64::INFINITY, distance).min(above.map_or(f64::INFINITY, distance))
        };
        if below.or(above).is_none() {
            return 0.0;
        }
        let all = near(&|x| x, self.spread) + near(&log, self.spread_log);
        let known = self.profile.total / (self.profile.total + policy.number_prior);
        // Both distances may be beyond what f64 holds.
        let far = (all * known).min(1e12);
        2.0 * policy.clip * far / (1.0 + far)
    }
}

/// A logarithm of any number, with its sign.
fn log(x: f64) -> f64 {
    x.abs().ln_1p().copysign(x)
}

/// Circular smoothing over the two-hour bins of the same kind of day: 1/4, 1/2, 1/4.
fn smoothed(bin: u64, get: &dyn Fn(u64) -> f64) -> f64 {
    let (day, part) = (bin / 12 * 12, bin % 12);
    0.25 * get(day + (part + 11) % 12) + 0.5 * get(bin) + 0.25 * get(day + (part + 1) % 12)
}

/// A value as text; `#` and its hash where the text was not kept.
pub(crate) fn value_text(
    kind: &FeatureKind,
    value: u64,
    name: &mut dyn FnMut(u64) -> Option<String>,
) -> String {
    match kind {
        FeatureKind::TimeOfWeek => bin_text(value),
        FeatureKind::Numeric => format!("{:.4}", bin_number(value)),
        FeatureKind::Categorical
        | FeatureKind::Edge
        | FeatureKind::Count(_)
        | FeatureKind::Distinct(_) => name(value).unwrap_or_else(|| format!("#{value:016x}")),
    }
}

/// A window of a count, and the group it is compared in.
pub(crate) fn window_text(kind: &FeatureKind, window: u8, group: u8) -> String {
    let size = match kind {
        FeatureKind::Count(sizes) | FeatureKind::Distinct(sizes) => sizes.get(usize::from(window)),
        FeatureKind::Categorical
        | FeatureKind::Edge
        | FeatureKind::TimeOfWeek
        | FeatureKind::Numeric => None,
    };
    let minutes = size.copied().unwrap_or_default() / 60_000;
    match group {
        4 => format!("{minutes} min, weekend"),
        g => format!("{minutes} min, weekday {:02}-{:02} UTC", 6 * g, 6 * g + 6),
    }
}

fn bin_text(bin: u64) -> String {
    let from = bin % 12 * 2;
    let day = if bin < 12 { "weekday" } else { "weekend" };
    format!("{day} {from:02}:00-{:02}:00", from + 2)
}

/// The probability that the least of `n` independent tails is as small as `p`.
fn any_of(p: f64, n: usize) -> f64 {
    let n = n.max(1) as f64;
    -((n * (-p).ln_1p()).exp_m1())
}

/// A tail as closed and immediate score: `-ln p` is 1 on average for a usual unit.
fn tail_scores(p: f64, policy: &Policy) -> (f64, f64) {
    let z = -p.max(f64::MIN_POSITIVE).ln();
    ((z - 1.0).clamp(-policy.clip, 2.0 * policy.clip), z.min(policy.surprise_max))
}

struct WindowTail {
    p: f64,
    mean: f64,
    population: f64,
    units: f64,
}

fn window_tail(
    policy: &Policy,
    profile: &[WindowProfile],
    known: &FeaturePopulation,
    (window, group): (u8, u8),
    count: u64,
) -> Option<WindowTail> {
    let own = profile.iter().find(|w| (w.window, w.group) == (window, group));
    let (units, sum) = own.map_or((0.0, 0.0), |w| (w.units, w.sum));
    let of_all = known.windows.get(&(window, group));
    let prior = of_all.and_then(|w| w.mean());
    // Nothing is known of such a window yet: it says nothing.
    let population = prior.or_else(|| (units > 0.0).then(|| sum / units))?;
    let mean = (policy.count_prior * population + sum) / (policy.count_prior + units);
    let dispersion = of_all.map_or(1.0, |w| w.dispersion());
    Some(WindowTail { p: negative_binomial_tail(count, mean, dispersion), mean, population, units })
}

fn explain_windows(
    declared: &Feature,
    policy: &Policy,
    profile: &[WindowProfile],
    known: &FeaturePopulation,
    seen: &[(u8, u8, u64)],
) -> Vec<ValueScore> {
    let mut all: Vec<(f64, ValueScore)> = seen
        .iter()
        .filter_map(|&(window, group, count)| {
            let tail = window_tail(policy, profile, known, (window, group), count)?;
            let value = ValueScore {
                key: 0,
                value: format!("{count} in {}", window_text(&declared.kind, window, group)),
                count,
                seen: tail.mean,
                of: tail.units,
                expected: tail.mean,
                peers: tail.population,
                organisation: tail.population,
                self_nats: tail_scores(tail.p, policy).0,
                peer_nats: 0.0,
                rarity_nats: 0.0,
            };
            Some((tail.p, value))
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.value.cmp(&b.1.value)));
    all.into_iter().take(5).map(|(_, value)| value).collect()
}

//! How many rows a second one core takes, and how many bytes an entity: the model alone, without SQL,
//! threads and a store. The time is that of the thread of the rows (on Linux); peer groups are found on
//! another.
//!
//! `cargo run --release -p sluice-baseline --example throughput [ENTITIES] [DAYS]`

#![expect(clippy::print_stdout, reason = "figures are for people")]

use sluice_baseline::{
    Baseline, Feature, FeatureKind, POLICY, PeerSource, Row, Sample, Spec, Unit,
};
use sluice_event::EntityKind;

const DAY: i64 = 86_400_000;
/// Rows of an entity and day.
const ROWS: u64 = 40;
/// Rows that are pushed before time is told and open days are looked at, as in the stream.
const BATCH: u64 = 8_192;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().ok());
    let entities = arguments.next().flatten().unwrap_or(10_000);
    let days = arguments.next().flatten().unwrap_or(15);
    let feature =
        |name: &str, kind| Feature { name: name.into(), kind, reads: name.into(), tactic: None };
    let spec = Spec {
        id: "baselines.throughput".into(),
        entity: EntityKind::User,
        unit: Unit::Day,
        features: vec![
            feature("country", FeatureKind::Categorical),
            feature("network", FeatureKind::Categorical),
            feature("application", FeatureKind::Categorical),
            feature("device", FeatureKind::Categorical),
            feature("hour", FeatureKind::TimeOfWeek),
        ],
        alarm_rate: 0.001,
        half_life: DAY,
        warmup: 0,
        peers: PeerSource { directory: false, learned: true },
    };
    let mut baseline = Baseline::new(spec, POLICY, 1);
    let mut dice = Dice(1);
    let (mut rows, mut alarms, mut busy) = (0_u64, 0_u64, 0.0);
    for day in 0..days {
        let mut batch: Vec<(String, i64, u128, [String; 4])> = Vec::new();
        for n in 0..entities * ROWS {
            let entity = dice.next() % entities;
            let at = (20_458 + day as i64) * DAY + (n * (DAY as u64 / (entities * ROWS))) as i64;
            let usual =
                |kind: &str, few: u64, roll: u64| format!("{kind}{}", (entity + roll) % few);
            batch.push((
                format!("user{entity}@example.com"),
                at,
                u128::from(dice.next()) << 64 | u128::from(n),
                [
                    usual("country", 20, dice.next() % 50 / 48),
                    usual("network", 500, dice.next() % 3),
                    usual("application", 60, dice.next() % 6),
                    usual("device", 20_000, dice.next() % 2),
                ],
            ));
            if batch.len() as u64 == BATCH || n + 1 == entities * ROWS {
                let begin = now();
                for (entity, time, uid, values) in &batch {
                    let [a, b, c, d] = values;
                    let samples = [
                        Sample::Text(a),
                        Sample::Text(b),
                        Sample::Text(c),
                        Sample::Text(d),
                        Sample::Missing,
                    ];
                    let (time, uid) = (*time, *uid);
                    baseline.push(&Row { entity, time, uid, peers: None, samples: &samples });
                }
                alarms +=
                    baseline.advance(at).iter().filter(|u| u.anomaly.is_some()).count() as u64;
                baseline.open_anomalies();
                busy += now() - begin;
                rows += batch.len() as u64;
                batch.clear();
            }
        }
    }
    let stats = baseline.stats();
    println!("{} entities, {days} days, 5 features, {rows} rows", stats.entities);
    println!("rows per second and core: {:.0}", rows as f64 / busy);
    println!("bytes per entity: {}", baseline.entity_bytes() / stats.entities.max(1));
    println!("units judged: {}, alarms: {alarms}", stats.judged);
}

/// Seconds that this thread has had a core, so that what else the machine does is left out.
fn now() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}

/// SplitMix64: the same rows every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

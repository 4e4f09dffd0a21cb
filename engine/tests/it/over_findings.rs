//! Rules over findings: whatever streams equals what DataFusion gives for the same SQL over the findings
//! it gives for the rules below, however the stream comes. Generated rules in two and three layers over
//! the events of the [oracle](super::oracle); a failure prints the seed of its case:
//! `SLUICE_ORACLE_SEED=<seed> SLUICE_LAYER_CASES=4 cargo test -p sluice-engine over_findings`.

use std::collections::BTreeMap;

use sluice_engine::{
    Content, History, LoadedRule,
    replay::Dice,
    rule_test::{Agreement, Bench, agree},
};

use super::oracle::{
    BASE, FIXED_SEED, condition, events, lookups, number, pick, seed_of_the_moment,
};

/// Streams per set of rules: compiling is the dear part.
const STREAMS: usize = 6;

/// The kinds of the rule on top.
const KINDS: [&str; 6] = ["stateless", "first_seen", "sliding", "tumble", "hop", "session"];

#[test]
fn layers_give_what_batch_gives() {
    let cases = number("SLUICE_LAYER_CASES").unwrap_or(60) as usize;
    let seeds = match number("SLUICE_ORACLE_SEED") {
        Some(seed) => vec![seed],
        None => vec![FIXED_SEED, seed_of_the_moment()],
    };
    println!("layers: {cases} cases of {STREAMS} streams from each of the seeds {seeds:?}");
    let lookups = lookups();
    let content = Content::load_with(&[], &[], &[lookups.path().to_path_buf()]).unwrap();
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in seeds.iter().flat_map(|seed| (0..cases as u64).map(move |n| seed + n)) {
        let mut dice = Dice::new(seed);
        let Some(rules) = Rules::roll(&content, &mut dice) else { continue };
        for stream in 0..STREAMS {
            let replay = events(rules.size, &mut dice);
            let history = match dice.below(3) {
                0 => History::None,
                _ => History::Since(BASE + dice.below(40) as i64 * rules.size / 10),
            };
            let bench = Bench::new(&content, &rules.top, history).above(&rules.below);
            let agreement = agree(&bench, &replay, dice.roll(), true)
                .unwrap_or_else(|e| Agreement { findings: 0, failures: vec![e] });
            let sum = kinds.entry(rules.kind).or_default();
            *sum = (sum.0 + 1, sum.1 + agreement.findings);
            if let Some(first) = agreement.failures.first() {
                let count = agreement.failures.len();
                let texts = &rules.texts;
                failures.push(format!(
                    "seed {seed}, stream {stream}: {count} differences, first: {first}\n{texts}"
                ));
            }
        }
    }
    for (kind, (cases, findings)) in &kinds {
        println!("layers: {kind}: {cases} streams, {findings} findings");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    if number("SLUICE_ORACLE_SEED").is_none() && cases >= 60 {
        for kind in KINDS {
            let (streams, findings) = kinds.get(kind).copied().unwrap_or_default();
            assert!(
                streams >= 30 && findings >= streams / 2,
                "{kind}: {streams} streams with {findings} findings prove too little"
            );
        }
    }
}

/// A rule over findings and the rules below it, each after those it reads.
struct Rules {
    kind: &'static str,
    size: i64,
    top: LoadedRule,
    below: Vec<LoadedRule>,
    texts: String,
}

impl Rules {
    /// `None` if conditions that were rolled exclude each other: they are refused, rightly.
    fn roll(content: &Content, dice: &mut Dice) -> Option<Rules> {
        let minutes = [1, 5, 10][dice.below(3)];
        let mut texts = String::new();
        let mut load = |id: &str, entity: &str, attack: &str, severity: &str, sql: &str| {
            let file = format!(
                "/*---\nid: {id}\ntitle: Generated\nseverity: {severity}\nattack: [{attack}]\n\
                 entity: {{{entity}: user}}\n---*/\n{}\n",
                sql.replace(" FROM ", "\nFROM ").replace(" WHERE ", "\nWHERE ")
            );
            texts += &file;
            content.compile(&format!("{}.sql", id.replace('.', "/")), &file).map_err(|problems| {
                let excluded = |p: &&sluice_engine::Problem| p.diagnostic.code != "R034";
                let errors = problems
                    .iter()
                    .filter(|p| p.diagnostic.level == sluice_rule::Level::Error)
                    .find(excluded);
                if let Some(problem) = errors {
                    panic!("{}", problem.diagnostic.render(Some(&file)));
                }
            })
        };
        let row = format!(
            "SELECT user_name, src_ip, src_port, time FROM authentication WHERE {}",
            condition(dice, 1)
        );
        let mut below = vec![load("oracle.row", "user_name", "TA0001", "low", &row).ok()?];
        let second = match dice.below(5) {
            0 => format!(
                "SELECT user_name, src_country, time FROM authentication WHERE {} \
                 AND first_seen(INTERVAL '{minutes} minutes', user_name, src_country)",
                condition(dice, 1)
            ),
            _ => format!(
                "SELECT user_name, count(*) AS n, max(time) AS time FROM authentication WHERE {} \
                 GROUP BY user_name, {} HAVING {}",
                condition(dice, 1),
                window(dice, minutes).1,
                pick(
                    dice,
                    &["count(*) >= 2", "count(*) < 3", "count(*) >= 1", "avg(src_port) > 40"]
                )
            ),
        };
        below.push(load("oracle.group", "user_name", "TA0006, T1110", "high", &second).ok()?);
        let three = dice.one_in(2);
        if three {
            let (_, sql) = over(dice, minutes, "severity <> 'medium'");
            below.push(load("oracle.middle", "user_entity", "TA0008", "medium", &sql).ok()?);
        }
        let named = match three {
            true => pick(
                dice,
                &[
                    "rule_id LIKE 'oracle.%' AND rule_id <> 'oracle.top'",
                    "rule_id = 'oracle.middle'",
                    "rule_id IN ('oracle.row', 'oracle.middle')",
                ],
            ),
            false => pick(
                dice,
                &[
                    "TRUE",
                    "rule_id <> 'oracle.row'",
                    "rule_id = 'oracle.group'",
                    "severity = 'low'",
                ],
            ),
        };
        let (kind, sql) = over(dice, minutes, named);
        let top = load("oracle.top", "user_entity", "TA0040", "critical", &sql).ok()?;
        Some(Rules { kind, size: minutes * 60_000, top, below, texts })
    }
}

/// A rule over findings: its kind and its text.
fn over(dice: &mut Dice, minutes: i64, named: &str) -> (&'static str, String) {
    let filter = pick(
        dice,
        &[
            "TRUE",
            "user_entity IS NOT NULL",
            "risk >= 5",
            "tactic_id <> 'TA0040'",
            "NOT shadow",
            "json_get_str(fields, 'user_name') LIKE '%n%'",
        ],
    );
    match dice.below(8) {
        0 => (
            "stateless",
            format!(
                "SELECT user_entity, rule_id, severity, title, tactic_ids, time FROM findings \
                 WHERE {named} AND {filter}"
            ),
        ),
        1 => (
            "first_seen",
            format!(
                "SELECT user_entity, rule_id, time FROM findings WHERE {named} AND {filter} \
                 AND first_seen(INTERVAL '{minutes} minutes', user_entity, rule_id)"
            ),
        ),
        _ => {
            let (kind, window) = window(dice, minutes);
            let having = pick(
                dice,
                &[
                    "count(*) >= 2",
                    "count(DISTINCT tactic_id) >= 2",
                    "count(DISTINCT rule_id) >= 2 AND count(*) >= 3",
                    "count(*) FILTER (WHERE severity = 'high') >= 1",
                    "count(*) < 3",
                    "max(risk) > 10",
                ],
            );
            (
                kind,
                format!(
                    "SELECT user_entity, count(*) AS n, count(DISTINCT rule_id) AS rules, \
                     min(time) AS first_time, max(time) AS time, sum(risk) AS total, \
                     max(json_get_int(fields, 'src_port')) AS port, \
                     array_agg(DISTINCT tactic_id) AS tactics \
                     FROM findings WHERE {named} AND {filter} \
                     GROUP BY user_entity, {window} HAVING {having}"
                ),
            )
        }
    }
}

fn window(dice: &mut Dice, minutes: i64) -> (&'static str, String) {
    match dice.below(6) {
        0..=2 => ("sliding", format!("sliding(time, INTERVAL '{minutes} minutes')")),
        3 => ("tumble", format!("tumble(time, INTERVAL '{minutes} minutes')")),
        4 => (
            "hop",
            format!("hop(time, INTERVAL '{minutes} minutes', INTERVAL '{} minutes')", minutes * 3),
        ),
        _ => ("session", format!("session(time, INTERVAL '{minutes} minutes')")),
    }
}

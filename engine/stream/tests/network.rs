//! The network against a naive evaluator: row by row, and arrow's own kernels for every leaf.
//!
//! `SLUICE_SEED` sets the first seed, `NETWORK_CASES` how many follow.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "network/random.rs"]
mod random;
#[path = "network/reference.rs"]
mod reference;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use sluice_stream::{Atom, Predicate, PredicateNetwork, Scratch, Test, Text, explain};

use random::{Random, batch, leaf, random_predicate, schema};
use reference::{expected, reference};

#[test]
fn the_network_says_what_a_naive_evaluator_says() {
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seed = number("SLUICE_SEED").unwrap_or(1);
    for case in seed..seed + number("NETWORK_CASES").unwrap_or(250) {
        println!("SLUICE_SEED={case}");
        let mut random = Random(case);
        let count = *random.pick(&[1, 3, 12, 60]);
        let predicates: Vec<(usize, Predicate)> =
            (0..count).map(|slot| (slot * 2, random_predicate(&mut random, 3))).collect();
        let network = PredicateNetwork::new(schema(), predicates.clone());
        let mut scratch = Scratch::new();
        for _ in 0..3 {
            let batch = batch(&mut random);
            let found = network.evaluate(&batch, &mut scratch);
            assert!(found.is_sorted_by_key(|(slot, _)| *slot));
            let found: BTreeMap<usize, Vec<u32>> = found.into_iter().collect();
            let expected = expected(&predicates, &batch);
            for (slot, predicate) in &predicates {
                assert_eq!(
                    found.get(slot),
                    expected.get(slot),
                    "{predicate:?}\n{:?}\n{batch:?}",
                    network.describe(*slot)
                );
            }
        }
        assert_eq!(scratch.take_fault(), None);
    }
}

#[test]
fn explain_says_what_the_network_says() {
    for case in 0..300 {
        let mut random = Random(case);
        let predicate = random_predicate(&mut random, 3);
        let batch = batch(&mut random);
        for (row, verdict) in reference(&predicate, &batch).into_iter().enumerate().take(20) {
            assert_eq!(explain(&predicate, &batch, row).verdict, verdict, "{case} {predicate:?}");
        }
    }
}

#[test]
fn a_rule_matches_the_same_rows_whatever_else_is_loaded_and_however_rows_are_batched() {
    for case in 0..100 {
        let mut random = Random(case);
        let mut predicates: Vec<(usize, Predicate)> =
            (0..20).map(|slot| (slot, random_predicate(&mut random, 2))).collect();
        let batch = batch(&mut random);
        let together = PredicateNetwork::new(schema(), predicates.clone())
            .evaluate(&batch, &mut Scratch::new());
        let alone: Vec<(usize, Vec<u32>)> = predicates
            .iter()
            .flat_map(|p| {
                PredicateNetwork::new(schema(), vec![p.clone()])
                    .evaluate(&batch, &mut Scratch::new())
            })
            .collect();
        assert_eq!(together, alone, "{case}");
        predicates.reverse();
        let reversed = PredicateNetwork::new(schema(), predicates);
        let mut scratch = Scratch::new();
        let mut by_row: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            for (slot, _) in reversed.evaluate(&batch.slice(row, 1), &mut scratch) {
                by_row.entry(slot).or_default().push(row as u32);
            }
        }
        assert_eq!(together, by_row.into_iter().collect::<Vec<_>>(), "{case}");
    }
}

/// All expressions of depth 3 over two boolean columns would be millions: all of depth 2, and every
/// operator over those.
#[test]
fn three_valued_logic_is_exhaustively_sqls() {
    let verdicts = [None, Some(false), Some(true)];
    let column = |f: fn(usize) -> usize| -> ArrayRef {
        Arc::new((0..9).map(|i| verdicts[f(i)]).collect::<BooleanArray>())
    };
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Boolean, true),
        Field::new("b", DataType::Boolean, true),
    ]));
    let columns = vec![column(|i| i % 3), column(|i| i / 3)];
    let few = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let leaves: Vec<Predicate> = (0..2)
        .map(|column| leaf(Atom::Column { column, test: Test::IsSet }))
        .chain([Predicate::Constant(None)])
        .collect();
    let deeper = |of: &[Predicate], with: &[Predicate]| -> Vec<Predicate> {
        let mut all = of.to_vec();
        for p in of {
            let p = || Box::new(p.clone());
            all.extend([Predicate::Not(p()), Predicate::IsTrue(p())]);
            all.extend([Predicate::IsFalse(p()), Predicate::IsUnknown(p())]);
            for q in with {
                all.push(Predicate::And(vec![*p(), q.clone()]));
                all.push(Predicate::Or(vec![*p(), q.clone()]));
            }
        }
        all
    };
    let one = deeper(&leaves, &leaves);
    let two = deeper(&one, &one);
    let all: Vec<(usize, Predicate)> = deeper(&two, &leaves).into_iter().enumerate().collect();
    assert!(all.len() > 10_000);
    let found = PredicateNetwork::new(schema, all.clone()).evaluate(&few, &mut Scratch::new());
    assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected(&all, &few));
}

#[test]
fn a_rule_without_a_matched_witness_is_not_looked_at() {
    let contains = |needle: &str| {
        let text = Text { needle: needle.into(), ignore_case: true };
        leaf(Atom::Column { column: 0, test: Test::Contains(text) })
    };
    let rules = vec![
        (0, Predicate::And(vec![contains("absent needle"), contains("exe")])),
        (1, Predicate::Or(vec![contains("power"), contains("enc")])),
        (2, Predicate::Not(Box::new(contains("exe")))),
    ];
    let network = PredicateNetwork::new(schema(), rules);
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("PowerShell.exe"), Some("x"), None]));
    let batch = RecordBatch::try_from_iter([("text", text)]).unwrap();
    let mut scratch = Scratch::new();
    assert_eq!(network.evaluate(&batch, &mut scratch), [(1, vec![0]), (2, vec![1])]);
    let candidates: Vec<u64> = scratch.counters(&network).map(|(_, c)| c.candidates).collect();
    assert_eq!(candidates, [0, 1, 2]);
    assert_eq!(network.stats().witnessless, 0);
    assert_eq!(network.stats().shared, 1);
    assert_eq!(network.describe(0).unwrap().witness.unwrap().len(), 1);
}

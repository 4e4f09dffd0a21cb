//! What the predicate network costs per row as rules grow: text needles over two columns, with an
//! equality that a sixth of the rules share. Arguments: numbers of rules. `cargo run --profile perf -p sluice-stream --example network`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, not the engine"
)]

use std::{error::Error, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Schema},
};
use sluice_event::Value;
use sluice_stream::{Atom, Leaf, Predicate, PredicateNetwork, Scratch, Test, Text};

const ROWS: usize = 8_192;
const BATCHES: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let batches: Vec<RecordBatch> = (0..BATCHES).map(batch).collect::<Result<_, _>>()?;
    println!("rules   ns/row   matches   shared atoms   automata KiB   build ms");
    let given: Vec<usize> =
        std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>()?;
    let counts = if given.is_empty() { vec![16, 100, 1_000, 3_000, 10_000] } else { given };
    for rules in counts {
        let filters = (0..rules).map(|n| (n, rule(n))).collect();
        let start = Instant::now();
        let network = PredicateNetwork::new(batches[0].schema(), filters);
        let build = start.elapsed();
        let mut scratch = Scratch::new();
        let mut best = f64::MAX;
        let mut matches = 0;
        for _ in 0..3 {
            matches = 0;
            let start = cpu_time();
            for batch in &batches {
                let found = network.evaluate(batch, &mut scratch);
                matches += found.iter().map(|(_, rows)| rows.len()).sum::<usize>();
            }
            best = best.min((cpu_time() - start) as f64 / (ROWS * BATCHES) as f64);
        }
        let stats = network.stats();
        println!(
            "{rules:>5} {best:>8.0} {matches:>9} {:>14} {:>14} {:>10}",
            stats.shared,
            stats.automaton_bytes / 1024,
            build.as_millis()
        );
    }
    Ok(())
}

/// Nanoseconds this thread has run: what else runs on the machine is not in it. Off Linux, 0.
fn cpu_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn mix(n: usize) -> usize {
    let z = (n as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 32)) as usize
}

fn word(n: usize) -> String {
    const PARTS: [&str; 16] = [
        "in", "voke", "sys", "log", "net", "cred", "dump", "min", "host", "reg", "task", "user",
        "exe", "cmd", "scr", "dll",
    ];
    let z = mix(n);
    [z % 16, z / 16 % 16, z / 256 % 16, z / 4096 % 16].map(|i| PARTS[i]).concat()
}

fn rule(n: usize) -> Predicate {
    let leaf = |column, test: Test| {
        Predicate::Leaf(Leaf {
            sql: format!("{test:?}").into(),
            atom: Atom::Column { column, test },
        })
    };
    let needle = |n: usize| Text { needle: word(n).into(), ignore_case: true };
    let kind = leaf(2, Test::In([Value::Text(format!("kind{}", n % 6).into())].into()));
    // Half of the needles occur nowhere; the other half on some row.
    let image = Text { needle: format!(r"\{}.exe", word(n % 700)).into(), ignore_case: true };
    let rare = Text { needle: format!("{}-{}", word(n), n).into(), ignore_case: true };
    match n % 4 {
        0 => Predicate::And(vec![kind, leaf(1, Test::Contains(rare))]),
        1 => {
            Predicate::And(vec![leaf(0, Test::EndsWith(image)), leaf(1, Test::Contains(needle(n)))])
        }
        2 => Predicate::And(vec![
            kind,
            Predicate::Or(vec![leaf(1, Test::Contains(needle(n))), leaf(1, Test::Contains(rare))]),
            Predicate::Not(Box::new(leaf(0, Test::EndsWith(image)))),
        ]),
        _ => Predicate::And(vec![
            leaf(1, Test::Contains(needle(n))),
            leaf(1, Test::Contains(needle(n + 1))),
        ]),
    }
}

fn batch(number: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let rows = number * ROWS..(number + 1) * ROWS;
    let image: StringArray = rows
        .clone()
        .map(|r| Some(format!(r"C:\Windows\System32\{}.exe", word(mix(r) % 300))))
        .collect();
    let line: StringArray = rows
        .clone()
        .map(|r| {
            Some(format!(
                "{0}.exe /c {1} --out C:\\Temp\\{2:x}.tmp -id {3}",
                word(mix(r) % 300),
                word(mix(r + 7) % 40_000),
                mix(r + 9),
                r
            ))
        })
        .collect();
    let kind: StringArray = rows.map(|r| Some(format!("kind{}", mix(r) % 6))).collect();
    let kind: ArrayRef = cast(&kind, &dictionary)?;
    let schema = Schema::new(vec![
        Field::new("image", DataType::Utf8, true),
        Field::new("line", DataType::Utf8, true),
        Field::new("kind", dictionary, true),
    ]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(image), Arc::new(line), kind])?)
}

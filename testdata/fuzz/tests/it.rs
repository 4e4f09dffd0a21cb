//! Every target over good inputs changed at random: a smoke test, not a search. The seed is printed.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::fs;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// Changed inputs per good one.
const ROUNDS: usize = 60;

#[test]
fn targets_hold_on_changed_inputs() {
    let seed = std::env::var("SLUICE_FUZZ_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    println!("fuzz: SLUICE_FUZZ_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for (name, target) in sluice_fuzz::TARGETS {
        let good = good(name);
        assert!(!good.is_empty(), "{name}: no inputs to begin with");
        for input in &good {
            target(input);
            for _ in 0..ROUNDS {
                target(&changed(input, &mut rng));
            }
        }
    }
}

/// Inputs that are well formed, with the byte before them that picks a variant.
fn good(target: &str) -> Vec<Vec<u8>> {
    let root = sluice_harness::repository();
    let below = |folder: &str, extension: &str| {
        let mut found = Vec::new();
        walk(&root.join(folder), extension, &mut found);
        found
    };
    let prefixed = |files: Vec<Vec<u8>>| {
        files
            .into_iter()
            .enumerate()
            .map(|(i, f)| [&[i as u8][..], &f[..f.len().min(4_096)]].concat())
    };
    match target {
        "frame" | "decode" | "mapping" => {
            prefixed(below("testdata/samples", "")).take(24).collect()
        }
        "rule" => below("rules", "sql").into_iter().take(24).collect(),
        "state" => (0..24_u8).map(|i| vec![i, 1, 0, 0, i, 2, 1, 128, 4]).collect(),
        _ => {
            ["severity:>=high user:ann@example.com", "\"a b\" -c OR (d e)", "time:[now-1h TO now]"]
                .iter()
                .map(|q| q.as_bytes().to_vec())
                .collect()
        }
    }
}

fn walk(folder: &std::path::Path, extension: &str, found: &mut Vec<Vec<u8>>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, extension, found);
        } else if extension.is_empty() || path.extension().is_some_and(|e| e == extension) {
            found.push(fs::read(path).unwrap());
        }
    }
}

/// A few bytes flipped, cut out, doubled or put in.
fn changed(input: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes.truncate(at),
            2 => {
                let from = bytes[..at].to_vec();
                bytes.splice(at..at, from.into_iter().take(64));
            }
            _ => bytes.insert(at, b"{}[]\",:\\\n\0\xff("[rng.random_range(0..12)]),
        }
    }
    bytes
}

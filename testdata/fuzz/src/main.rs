//! The driver of `cargo xtask fuzz`: libFuzzer calls the target that `SLUICE_FUZZ` names. It holds no
//! property of its own.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<sluice_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("SLUICE_FUZZ").unwrap_or_default();
    let found = sluice_fuzz::TARGETS.iter().find(|(n, _)| *n == name);
    let names: Vec<&str> = sluice_fuzz::TARGETS.iter().map(|(n, _)| *n).collect();
    found.unwrap_or_else(|| panic!("SLUICE_FUZZ is one of {}", names.join(", "))).1
});

fuzz_target!(|data: &[u8]| TARGET(data));

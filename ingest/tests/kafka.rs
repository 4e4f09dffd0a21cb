//! The Kafka input against a real broker. `cargo xtask test` starts one and says where it is in
//! `SLUICE_TEST_KAFKA`; without it every test here says so and does nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]
#![allow(clippy::disallowed_methods, reason = "a test waits for a broker only so long")]

#[path = "kafka/support.rs"]
mod support;

#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/positions.rs"]
mod positions;
#[path = "kafka/records.rs"]
mod records;

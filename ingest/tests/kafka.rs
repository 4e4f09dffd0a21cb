//! The Kafka input against a real broker. `cargo xtask test` starts one and says where it is in
//! `SLUICE_TEST_KAFKA`; without it every test here says so and does nothing.

#[path = "kafka/support.rs"]
mod support;

#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/positions.rs"]
mod positions;
#[path = "kafka/records.rs"]
mod records;

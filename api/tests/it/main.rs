//! Integration tests of the whole product, one binary: each file is one surface.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod bad_records;
mod bad_rules;
mod cli;
mod config;
mod conformance;
mod dead_letters;
mod demo;
mod disk_full;
mod docs;
mod folders;
mod hold;
mod hostile;
mod http;
mod identity;
mod kafka;
mod kill_loop;
mod metrics;
mod real;
mod received;
mod reload;
mod search;
mod service_cli;
mod shippers;
mod signals;
mod silence;
mod support;
mod tidy;
mod tls;
mod trusted;
mod unknown_logs;
mod warm_start;
mod webhooks;

//! The process: command line, configuration, HTTP API, tokens, and the node that joins them to the
//! engine. Not detection, storage or search: those are crates below.
//!
//! [`run`] is everything the binary `sluice` does. Modules, leaves first: `clock`, `terminal`, `network`
//! and `exit` know no other; `config` and `tokens` read what a person wrote; `outbound` is how it sends;
//! `priority` is what goes first where threads want the CPU;
//! `node` composes a running process; `http` serves it; `cli` has one file per verb.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "kafka"),
    allow(dead_code, reason = "settings and names that the Kafka client alone reads")
)]
// Text for people goes through `terminal`, which escapes what could act on a terminal.
#![deny(clippy::print_stderr)]

#[macro_use]
mod terminal;
mod audit;
mod cli;
mod clock;
mod config;
mod exit;
mod http;
mod network;
mod node;
mod outbound;
mod priority;
mod tokens;

pub use cli::run;

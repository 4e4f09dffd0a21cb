//! The HTTP API: the way to findings, rules, dead letters, hunts and inputs, for people and programs.
//!
//! It is: routes (one file per resource), who may use them ([`access`]), limits, errors as RFC 9457
//! problems, and the connection loop. It is not: detection, storage or search, which it asks through
//! [`App`]; nor tokens themselves (see [`crate::tokens`]). Nothing here holds up the async runtime:
//! whatever reads or computes goes through a [`pool`].
//!
//! There are no cookies: every request carries its token in `Authorization`, which no page of
//! another origin can make a browser send. So there is nothing to forge (CSRF), and CORS stays off.

mod access;
mod app;
mod attack;
mod audit;
mod body;
mod counters;
mod cursor;
mod dead_letters;
mod docs;
mod entities;
mod exposition;
mod findings;
mod finish;
mod health;
mod held;
mod hunts;
mod idempotency;
mod incidents;
mod ingest;
mod jobs;
mod me;
mod memory;
mod openapi;
mod params;
mod pool;
mod problem;
mod processor;
mod received;
mod reload;
mod risk;
mod router;
mod rules;
mod server;
mod settings;
mod shared;
mod signals;
mod sources;
mod status;
mod suppressions;
mod tables;
mod throttle;
mod tls;
mod ui;
mod webhooks;

use crate::clock;

pub(crate) use app::App;
pub(crate) use server::{ServeError, Server, serve};
pub(crate) use settings::HttpSettings;
pub(crate) use tls::{TlsFiles, check as check_tls};

#[cfg(test)]
mod tests;

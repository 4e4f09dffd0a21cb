//! The HTTP API: a door to findings, rules, dead letters, hunts and inputs, for people and programs.
//!
//! It is: routes (one file per resource), who may use them ([`access`]), limits, errors as RFC 9457
//! problems, and the connection loop. It is not: detection, storage or search, which it asks through
//! [`App`]; nor tokens themselves (see [`crate::tokens`]). Nothing here holds up the async runtime:
//! whatever reads or computes goes through a [`lane`].
//!
//! There are no cookies: every request carries its token in `Authorization`, which no page of
//! another origin can make a browser send. So there is nothing to forge (CSRF), and CORS stays off.

mod access;
mod app;
mod attack;
mod body;
mod clock;
mod counters;
mod cursor;
mod dead_letters;
mod docs;
mod exposition;
mod findings;
mod finish;
mod health;
mod hunts;
mod ingest;
mod lane;
mod me;
mod openapi;
mod params;
mod problem;
mod reload;
mod router;
mod rules;
mod server;
mod sources;
mod status;
mod tables;
mod ui;

pub(crate) use app::{
    App, Door, Findings, LineError, PushError, Pushed, Search, SearchError, SearchPage,
    SearchRequest, Total,
};
pub(crate) use server::{HttpSettings, Server, serve};

#[cfg(test)]
mod tests;

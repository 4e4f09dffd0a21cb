//! The transmitter as receivers meet it, without HTTP. Names of tests carry the ids of the checks: S
//! token, C configuration, V status and verification, P delivery, H when to send, T the modules of the
//! OpenID conformance suite, N negative.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed helper is a failed test")]

mod conformance;
mod delivery;
mod dialects;
mod feeds;
mod inbound;
mod levels;
mod mutes;
mod opa_push;
mod policy;
mod quarantine;
mod restart;
mod said;
mod signs;
mod silence;
mod streams;
mod support;
mod tokens;
mod trust;
mod webhook_templates;
mod webhooks;

//! Analyzer rules that turn what DataFusion does not know (or gets wrong) into plain SQL: windows and
//! `first_seen` for batch runs, differences of times for everyone.

mod first_seen;
mod time_difference;
mod windows;

pub(crate) use first_seen::LowerFirstSeen;
pub(crate) use time_difference::TimeDifference;
pub(crate) use windows::{LowerWindows, Windowed};

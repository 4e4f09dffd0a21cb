//! Memory of the whole process under its limit: what may be given up is, before the system ends the
//! process. Not the bounds of single requests (see `http::memory`) and queries.
//!
//! | resident memory | what is refused |
//! |---|---|
//! | below 3/4 of the limit | nothing |
//! | from 3/4 on | searches and hunts: [`Pressure::Queries`] |
//! | from 9/10 on, until it is below 3/4 | inputs are not read either: [`Pressure::Inputs`] |

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_engine::service::Service;

use super::follower::{end, spawn};

/// What has to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Nothing.
    None,
    /// Searches and hunts.
    Queries,
    /// Inputs too.
    Inputs,
}

/// How much memory the process has, and may have. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MemoryLevel(Arc<Level>);

#[derive(Debug)]
struct Level {
    limit: u64,
    used: AtomicU64,
    pressure: AtomicU8,
}

/// The thread that looks at the memory of the process.
pub(super) struct MemoryWatch {
    level: MemoryLevel,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Between two looks. What is made in between comes on top of the limit.
const EVERY: Duration = Duration::from_millis(100);

impl MemoryWatch {
    /// Watches the process for a service. `limit` in bytes; without one, half of the machine's memory.
    pub(super) fn start(service: Service, limit: Option<u64>) -> MemoryWatch {
        let level = MemoryLevel::new(limit.unwrap_or_else(|| machine_bytes() / 2));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = spawn("memory", {
            let (level, stop) = (level.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let before = level.pressure();
                    let now = level.look(resident_bytes());
                    if now != before {
                        level.report(now);
                        service.hold_inputs(now == Pressure::Inputs);
                    }
                    std::thread::sleep(EVERY);
                }
            }
        });
        MemoryWatch { level, stop, thread }
    }

    /// What it sees.
    pub(super) fn level(&self) -> MemoryLevel {
        self.level.clone()
    }

    /// Ends it.
    pub(super) fn stop(mut self) {
        end(&self.stop, self.thread.take());
    }
}

impl MemoryLevel {
    /// Nothing used yet of a limit in bytes.
    pub(crate) fn new(limit: u64) -> MemoryLevel {
        MemoryLevel(Arc::new(Level { limit, used: AtomicU64::new(0), pressure: AtomicU8::new(0) }))
    }

    /// What has to give way now.
    pub(crate) fn pressure(&self) -> Pressure {
        match self.0.pressure.load(Ordering::Relaxed) {
            0 => Pressure::None,
            1 => Pressure::Queries,
            _ => Pressure::Inputs,
        }
    }

    /// Bytes resident at the last look.
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The limit, bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Takes a measurement.
    fn look(&self, used: u64) -> Pressure {
        let limit = self.0.limit;
        let (queries, inputs) = (limit / 4 * 3, limit / 10 * 9);
        let pressure = match self.pressure() {
            _ if used < queries => Pressure::None,
            // Inputs that pause go on only when there is room for what they bring.
            Pressure::Inputs => Pressure::Inputs,
            _ if used >= inputs => Pressure::Inputs,
            _ => Pressure::Queries,
        };
        self.0.used.store(used, Ordering::Relaxed);
        self.0.pressure.store(pressure as u8, Ordering::Relaxed);
        pressure
    }

    fn report(&self, pressure: Pressure) {
        let (used, limit) = (self.used() >> 20, self.limit() >> 20);
        match pressure {
            Pressure::None => tracing::info!("{used} of {limit} MiB used: nothing is refused"),
            Pressure::Queries => {
                tracing::warn!("{used} of {limit} MiB used: searches and hunts are refused");
            }
            Pressure::Inputs => tracing::error!("{used} of {limit} MiB used: inputs pause"),
        }
    }
}

/// Bytes of memory that belong to the process alone; files that are mapped can be dropped by the system
/// at any time.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib(&status, "RssAnon:").unwrap_or(0)
}

/// Bytes of memory of the machine, or of the control group if that is less.
fn machine_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|t| kib(&t, "MemTotal:"));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max");
    let group = group.ok().and_then(|text| text.trim().parse().ok());
    let known: Option<u64> = [machine, group].into_iter().flatten().min();
    known.unwrap_or(UNKNOWN_BYTES)
}

/// Of a machine that does not tell.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// The bytes of a line `Name:  123 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_give_way_first_and_inputs_until_there_is_room() {
        let level = MemoryLevel::new(1_000);
        for (used, expected) in [
            (740, Pressure::None),
            (750, Pressure::Queries),
            (899, Pressure::Queries),
            (900, Pressure::Inputs),
            (800, Pressure::Inputs),
            (749, Pressure::None),
            (2_000, Pressure::Inputs),
        ] {
            assert_eq!(level.look(used), expected, "{used}");
            assert_eq!((level.pressure(), level.used()), (expected, used));
        }
    }

    #[test]
    fn the_system_tells_how_much_there_is() {
        assert!(resident_bytes() > 1 << 20, "{}", resident_bytes());
        assert!(machine_bytes() > resident_bytes());
        assert_eq!(kib("A: 1 kB\nMemTotal:   12 kB\n", "MemTotal:"), Some(12 << 10));
    }
}

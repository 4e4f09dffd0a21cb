//! Priority of threads: what people and programs ask for runs behind detection where both want the CPU.
//! Not how many of them there are.
//!
//! On Linux a thread has a nice value of its own. Work 5 above the process gets a third of what a thread
//! of detection gets of the same core, work 10 above a tenth; of an idle core each gets all. Other
//! systems know nice values of processes only: there every thread has the same.

use tokio::runtime::{Builder, Handle, Runtime};

/// How far behind detection a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Reads, searches, and pushed records on their way into a spool: somebody waits for an answer. And
    /// what the store does with its files, which must keep up with what is written. Nice 5 more.
    Reads,
    /// Hunts, and rules that are compiled for a reload. Nice 10 more.
    Hunts,
}

/// Threads at a priority, for blocking work of the async runtime. Dropped, it waits for none of them.
#[derive(Debug)]
pub(crate) struct Threads {
    runtime: Option<Runtime>,
}

impl Priority {
    /// Gives the thread at hand this priority, and those that it starts from here on. A system that
    /// refuses is a line in the log: the work is the same.
    pub(crate) fn take(self) {
        if let Err(error) = lower(self.nice()) {
            tracing::warn!("a thread keeps the priority of detection: {error}");
        }
    }

    /// Does work on a thread of this priority: the threads that it starts have it from there on.
    pub(crate) fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.take();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn nice(self) -> i32 {
        match self {
            Priority::Reads => 5,
            Priority::Hunts => 10,
        }
    }
}

impl Threads {
    /// Threads that are started when there is work for them.
    pub(crate) fn new(name: &'static str, priority: Priority) -> Threads {
        let runtime = Builder::new_current_thread()
            .thread_name(name)
            .on_thread_start(move || priority.take())
            .build();
        if let Err(error) = &runtime {
            tracing::warn!("{name} run at the priority of detection: {error}");
        }
        Threads { runtime: runtime.ok() }
    }

    /// Where blocking work is handed to; `None` if the system has no threads for them.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.runtime.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(target_os = "linux")]
fn lower(nice: i32) -> Result<(), String> {
    use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};
    let of_process =
        nice_value("/proc/self/stat").ok_or("the system does not tell its nice value")?;
    let wanted = (of_process + nice).min(19);
    // The crate has the priorities 0 to 99 for the nice values 19 to -20, and rounds down.
    let value = (98 - (wanted + 20) * 99 / 39).max(0);
    let value = u8::try_from(value).map_err(|e| e.to_string())?;
    let value = ThreadPriorityValue::try_from(value)?;
    set_current_thread_priority(ThreadPriority::Crossplatform(value)).map_err(|e| e.to_string())
}

/// The nice value in a `stat` of the system: the 17th field after the name, which may hold anything.
#[cfg(target_os = "linux")]
fn nice_value(stat: &str) -> Option<i32> {
    let stat = std::fs::read_to_string(stat).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn lower(_: i32) -> Result<(), String> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn nice() -> Option<i32> {
        nice_value("/proc/thread-self/stat")
    }

    #[tokio::test]
    async fn threads_stand_behind_those_that_start_them_and_hand_it_on() {
        let before = nice_value("/proc/self/stat").unwrap();
        for (priority, behind) in [(Priority::Reads, 5), (Priority::Hunts, 10)] {
            let threads = Threads::new("test", priority);
            let work = || (nice(), std::thread::spawn(nice).join().unwrap());
            let found = threads.handle().unwrap().spawn_blocking(work).await.unwrap();
            let expected = (before + behind).min(19);
            assert_eq!(found, (Some(expected), Some(expected)), "{priority:?}");
            let handed_on = priority.run(|| std::thread::spawn(nice).join().unwrap());
            assert_eq!(handed_on, Some(expected), "{priority:?}");
        }
        assert_eq!(nice(), Some(before));
    }
}

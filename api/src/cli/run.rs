//! `sluice run`: the service. It reads the configuration and the content, composes the node, and
//! stays until a signal stops it. Not the parts (see [`crate::node`]).

use std::{sync::Arc, time::Duration};

use clap::Args;
use nix::sys::stat::{Mode, umask};
use sluice_engine::service::{InputHealth, Phase, ReloadReport, RuleChange};
use sluice_ingest::live::InputPhase;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinError, JoinHandle},
};

use super::{
    config::ConfigArgs,
    exit::{Exit, Failure},
    load,
    output::{Output, printable},
    setup,
};
use crate::{
    config::Loaded,
    http::Server,
    node::{self, Node, Reloader, content::check_inputs, recorded},
    tokens::Tokens,
};

/// After this long a stop that hangs (a broker that does not answer) ends the process anyway: what
/// was not durable is read again at the next start.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Reads its inputs, keeps findings and its place, and serves the API, until a signal.
///
/// SIGTERM stops it and exits with 0, ctrl-c with 130, both within 10 s and after a last checkpoint; a
/// second one ends it at once. SIGHUP reloads rules and mappings, as their change on disk does. After
/// a crash it goes on where it was: the same findings, none lost, none twice.
///
///   sluice run
///   sluice run --config /etc/sluice/sluice.toml
///   SLUICE_LOG__FORMAT=json sluice run --data-dir /var/lib/sluice
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Why a service ends.
enum End {
    Terminated,
    Interrupted,
    Failed(String),
}

impl Run {
    pub(crate) fn run(self, verbose: u8, out: &Output) -> Result<Exit, Failure> {
        let quiet = out.quiet();
        let layers = self.config.layers();
        let mut loaded = match self.config.load(quiet) {
            Ok(loaded) => loaded,
            Err(failure) => {
                setup::logging(verbose, quiet);
                return Err(failure);
            }
        };
        setup::service_logging(&loaded.config.log, verbose, quiet);
        let paths = |list: &[String]| list.iter().map(Into::into).collect::<Vec<_>>();
        let (mappings, rules) = (paths(&loaded.config.mappings), paths(&loaded.config.rules));
        let lookups = paths(&loaded.config.lookups);
        let content = load::content(&mappings, &rules, &lookups, quiet)?;
        check_inputs(&mut loaded, &content);
        if loaded.has_errors() {
            return Err(Failure::Config(loaded.problems));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sluice-api")
            .enable_all()
            .build()?;
        private_files();
        let outcome = runtime.block_on(async {
            let node = tokio::task::block_in_place(|| Node::start(&loaded.config, content))?;
            let reloader = Arc::new(Reloader::new(layers, &loaded, &node));
            let reload = {
                let reloader = reloader.clone();
                Arc::new(move || reloader.reload())
            };
            // Whoever sees it serve may stop it.
            let signals = Signals::listen()?;
            let server = node::serve(&loaded.config, &node, reload)?;
            recorded::start(&loaded.config.data_dir, &loaded.effective);
            if !quiet {
                announce(&loaded, &node, &server)?;
            }
            let end = until_end(&node, &reloader, &loaded, signals).await;
            finish(node, server, end)
        });
        // A reload that hangs is left behind.
        runtime.shutdown_background();
        outcome
    }
}

/// Every file this process makes is for its owner alone, by whichever library it is made.
fn private_files() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Says where it serves, what it reads, and how to get in.
fn announce(loaded: &Loaded, node: &Node, server: &Server) -> Result<(), Failure> {
    let config = &loaded.config;
    let url = format!("{}://{}", server.scheme(), server.address());
    if let Some(grpc) = server.grpc() {
        eprintln!("ext_authz over gRPC on {}://{grpc}", server.scheme());
    }
    eprintln!("listening on {url}");
    for (name, source) in &config.sources {
        let from = match &source.kafka {
            Some(kafka) => format!(
                "topics {} at {} as group {}",
                kafka.topics.join(", "),
                kafka.brokers.0,
                kafka.group
            ),
            None => format!("POST {url}/api/v1/ingest/{name}"),
        };
        eprintln!("reading {name} ({}): {}", source.mapping, printable(&from));
    }
    let dir = config.data_dir.display();
    eprintln!("{} rules; findings and state in {dir}", node.rules);
    if Tokens::open(&config.data_dir)?.list().is_empty() {
        eprintln!("there is no token, so the API refuses every request; to make one:");
        eprintln!("  sluice token create --data-dir {dir} --role admin --name me");
    }
    Ok(())
}

/// What people and supervisors send. A signal that comes before somebody waits for it is kept.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Waits for a signal or for the service to fail; reloads in between. Signals are served whatever a
/// reload waits for.
async fn until_end(
    node: &Node,
    reloader: &Arc<Reloader>,
    loaded: &Loaded,
    mut signals: Signals,
) -> End {
    let (changed, mut changes) = tokio::sync::mpsc::channel(1);
    let _watcher = node::watch_files(&loaded.config, &loaded.files, changed);
    let mut look = tokio::time::interval(Duration::from_secs(1));
    let mut inputs = InputLog::default();
    // The reload at hand, and whether there was a reason for another meanwhile.
    let mut reloading: Option<JoinHandle<ReloadReport>> = None;
    let mut reason = "";
    let mut again = false;
    loop {
        let why = tokio::select! {
            _ = signals.terminate.recv() => return End::Terminated,
            _ = signals.interrupt.recv() => return End::Interrupted,
            _ = signals.hangup.recv() => "SIGHUP",
            Some(()) = changes.recv() => "files changed",
            report = finished(&mut reloading) => {
                reloading = None;
                match report {
                    Ok(report) => {
                        log_reload(&report);
                        recorded::reload(&loaded.config.data_dir, reason, &report);
                    }
                    Err(error) => tracing::error!("the reload ended early: {error}"),
                }
                if !std::mem::take(&mut again) {
                    continue;
                }
                "asked for during the reload before"
            }
            _ = look.tick() => {
                let status = node.service.status();
                inputs.note(&status.inputs);
                if let Phase::Failed(reason) = status.phase {
                    return End::Failed(reason);
                }
                continue;
            }
        };
        if reloading.is_some() {
            again = true;
            continue;
        }
        tracing::info!("{why}: reloading rules and mappings");
        reason = why;
        let reloader = reloader.clone();
        reloading = Some(tokio::task::spawn_blocking(move || reloader.reload()));
    }
}

/// Waits for a task; for ever if there is none.
async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// Stops everything, within [`STOP_WITHIN`].
fn finish(node: Node, server: Server, end: End) -> Result<Exit, Failure> {
    let exit = match &end {
        End::Terminated => Exit::Done,
        End::Interrupted => Exit::Interrupted,
        End::Failed(_) => Exit::Usage,
    };
    // A thread of its own: whatever hangs, and another signal, must not hold it up.
    std::thread::spawn(move || {
        std::thread::sleep(STOP_WITHIN);
        tracing::warn!(
            "not stopped within 10 s; what was in flight is read again at the next start"
        );
        std::process::exit(exit.code().into());
    });
    tokio::spawn(async {
        let again = async |kind| match signal(kind) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        };
        tokio::select! {
            _ = again(SignalKind::interrupt()) => {},
            _ = again(SignalKind::terminate()) => {},
        }
        std::process::exit(Exit::Interrupted.code().into());
    });
    tracing::info!("stopping");
    let stopped = tokio::task::block_in_place(|| {
        server.stop();
        node.stop()
    });
    match (end, stopped) {
        (End::Failed(reason), _) => Err(Failure::argument(
            format!("the service stopped: {reason}"),
            "what was read is safe; mend the cause and start it again",
        )),
        (_, Err(error)) => Err(error.into()),
        (_, Ok(())) => Ok(exit),
    }
}

/// Logs what a reload did.
fn log_reload(report: &ReloadReport) {
    for problem in &report.problems {
        // What is wrong, where, and what to do; the lines of the file are for `rule lint`.
        let text = |line: &&str| !line.contains('|');
        let line = problem.lines().map(str::trim).filter(text).collect::<Vec<_>>().join(" ");
        match problem.split_once('[').map(|(level, _)| level) {
            Some("error") => tracing::error!("{line}"),
            Some("info") => tracing::debug!("{line}"),
            _ => tracing::warn!("{line}"),
        }
    }
    if !report.applied {
        tracing::error!("nothing was reloaded: the rules and mappings from before go on");
        return;
    }
    for (rule, change) in &report.rules {
        let what = match change {
            RuleChange::Added => "added",
            RuleChange::Edited => "edited, its state kept",
            RuleChange::Reset => "edited, its state begins empty",
            RuleChange::Removed => "removed",
        };
        tracing::info!("rule {rule}: {what}");
    }
    tracing::info!("reloaded: {} rules changed, {} kept", report.rules.len(), report.kept);
}

/// Logs when an input changes what it is doing, once.
#[derive(Default)]
struct InputLog(std::collections::BTreeMap<Arc<str>, InputPhase>);

impl InputLog {
    fn note(&mut self, inputs: &[InputHealth]) {
        for input in inputs {
            let phase = &input.status.phase;
            if self.0.get(&input.name) == Some(phase) {
                continue;
            }
            let name = &input.name;
            match phase {
                InputPhase::Starting => {}
                InputPhase::Running => tracing::info!("input {name}: reading"),
                InputPhase::Paused => tracing::warn!("input {name}: paused"),
                InputPhase::Retrying(why) => tracing::warn!("input {name}: tries again: {why}"),
                InputPhase::Failed(why) => tracing::error!("input {name}: gave up: {why}"),
                InputPhase::Stopped => tracing::info!("input {name}: stopped"),
            }
            self.0.insert(name.clone(), phase.clone());
        }
    }
}

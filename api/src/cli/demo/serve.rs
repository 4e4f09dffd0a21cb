//! The demo as a service: the scenarios at a pace, findings printed as they come, and the API over
//! them, all in a temporary folder that is gone afterwards.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use sluice_engine::{
    Commit, Content, FindingSink, Reported, Seq,
    durable::RiskClock,
    service::{Phase, ReloadReport, ServiceStatus},
};
use sluice_finding::{Finding, FindingId, FindingState};

use super::{Demo, announce, input, report, risk, source};
use crate::{
    cli::{
        eval::FindingPrinter,
        exit::{Exit, Failure},
        load,
        output::Output,
        setup,
    },
    clock,
    config::{Config, Layers},
    node::{self, Node, push::PushEndpoints},
    tokens::{Role, Tokens},
};

/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn serve(
    demo: &Demo,
    content: Content,
    start: i64,
    started: Instant,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let quiet = out.quiet();
    let stop = setup::interrupt();
    let folder = tempfile::tempdir()?;
    let config = config(demo, folder.path())?;
    let lines = source::lines(demo.seed, start);
    let events = lines.len();
    let speed = demo.speed.max(1);
    let pace = input::Pace::new(start, speed);
    // Risk decays as the replayed time goes on, also when the logs have ended.
    let node = Node::start_with(&config, content, RiskClock::new(move || pace.now()), |_, _| {
        Ok((input::inputs(lines, pace), PushEndpoints::new()))
    })?;
    let server = node::serve(&config, &node, reload(&node))?;
    let tokens = Tokens::open(folder.path())?;
    let token = tokens.create("demo", Role::Admin, None, None, clock::now())?;
    let address = server.address();
    if !quiet {
        announce(events, start);
        eprintln!("web UI: http://{address}/#token={token}");
        eprintln!("API and docs: http://{address}/api/v1/docs#token={token}");
    }
    let mut printer = FindingPrinter::new(out, false).without_shadow();
    let mut shown = BTreeSet::new();
    let mut first = None;
    let mut seq = Seq(0);
    let mut levels = Seq(0);
    let mut reported = false;
    while !stop.load(Ordering::Relaxed) {
        node.store.wait(seq, LOOK);
        let (changed, next) = node.store.after(seq, 500)?;
        seq = next;
        let findings: Vec<Finding> =
            changed.into_iter().filter_map(|s| fresh(s.finding, &mut shown)).collect();
        if !findings.is_empty() {
            first.get_or_insert_with(|| started.elapsed());
            let findings = findings.into_iter().map(Reported::from).collect();
            printer.commit(Commit { findings, ..Commit::default() })?;
        }
        let (changes, next) = node.store.levels_after(levels, 500)?;
        levels = next;
        if !quiet {
            // After the logs have ended the clock goes on, and levels fall.
            changes.iter().for_each(|change| eprintln!("{}", risk::told(change)));
        }
        let status = node.service.status();
        if let Phase::Failed(reason) = &status.phase {
            return Err(Failure::argument(reason, "this is a defect of ours"));
        }
        if !reported && quiet_now(&status, events) && node.store.last() <= seq {
            reported = true;
            if !quiet {
                report(events, printer.tally(), first, started.elapsed());
                eprintln!("serving until ctrl-c; the findings so far, by curl:");
                eprintln!(
                    "  curl -H 'Authorization: Bearer {token}' 'http://{address}/api/v1/findings?q=severity:critical'"
                );
            }
        }
    }
    server.stop();
    node.stop()?;
    Ok(Exit::Done)
}

/// The settings of the demo: no file and no environment has a say.
fn config(demo: &Demo, folder: &std::path::Path) -> Result<Config, Failure> {
    let mut listen = demo.listen;
    if TcpListener::bind(listen).is_err() {
        listen.set_port(0);
    }
    let text = format!(
        "data_dir = {:?}\n[api]\nlisten = \"{listen}\"\n[engine]\nhistory = \"none\"\nmin_free = \"64MiB\"\n",
        folder.display().to_string(),
    );
    let mut config = Layers::of_text("demo", &text).config;
    config.data_dir = folder.to_path_buf();
    Ok(config)
}

/// The shipped rules and mappings again; they are the only ones of a demo.
fn reload(node: &Node) -> Arc<dyn Fn() -> ReloadReport + Send + Sync> {
    let service = node.service.clone();
    Arc::new(move || match load::content(&["builtin".into()], &["builtin".into()], &[], true) {
        Ok(content) => service.reload(content),
        Err(_) => ReloadReport::default(),
    })
}

/// A finding that was not shown yet, as if it were final: nothing comes later in a demo.
fn fresh(finding: Finding, shown: &mut BTreeSet<FindingId>) -> Option<Finding> {
    let net = finding.state != FindingState::Withdrawn;
    (net && shown.insert(finding.id))
        .then_some(Finding { state: FindingState::Confirmed, ..finding })
}

/// Whether every line is behind a checkpoint.
fn quiet_now(status: &ServiceStatus, events: usize) -> bool {
    let read: u64 = status.inputs.iter().flat_map(|i| i.positions.values()).sum();
    read == events as u64
}

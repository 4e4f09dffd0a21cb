//! Taking other rules and mappings while the service runs: all of them are checked first, and on
//! any error the ones from before go on. One function for SIGHUP, changed files and the API.

use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;
use sluice_engine::{
    Content,
    service::{ReloadReport, Service},
};

use super::{
    Node,
    content::{check, with_problems},
    push::PushEndpoints,
};
use crate::{
    clock,
    config::{Effective, Layers, Loaded},
    priority::Priority,
};

/// Settings that a reload takes; every other needs a restart.
const RELOADED: [&str; 3] = ["rules", "mappings", "lookups"];

/// Reloads the content of one service.
pub(crate) struct Reloader {
    layers: Layers,
    /// The settings the service was started with.
    started: Vec<(String, Json)>,
    service: Service,
    endpoints: PushEndpoints,
    /// One at a time.
    turn: Mutex<()>,
}

impl Reloader {
    /// A reloader for a node that was started with `loaded`.
    pub(crate) fn new(layers: Layers, loaded: &Loaded, node: &Node) -> Reloader {
        Reloader {
            layers,
            started: values(&loaded.effective),
            service: node.service.clone(),
            endpoints: node.endpoints.clone(),
            turn: Mutex::new(()),
        }
    }

    /// Reads the configuration, rules and mappings again. If anything is wrong, nothing changes and the
    /// report says what. Waits until it is done.
    pub(crate) fn reload(&self) -> ReloadReport {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loaded = Loaded::read(&self.layers);
        let content = compiled(&mut loaded);
        let restart = self.needs_restart(&loaded);
        let problems = with_problems(std::mem::take(&mut loaded.problems), content.as_ref());
        let refused = problems.iter().any(|p| p.diagnostic.is_error());
        let texts = problems.iter().map(|p| p.diagnostic.render(p.text.as_deref()));
        let texts: Vec<String> = texts.chain(restart).collect();
        let report = match content {
            Some(content) if !refused => {
                let sources = content.sources.clone();
                let mut report = self.service.reload(content);
                if report.applied {
                    self.endpoints.values().for_each(|e| e.remap(sources.clone()));
                }
                report.problems.splice(0..0, texts);
                report
            }
            _ => ReloadReport { at: clock::now(), problems: texts, ..ReloadReport::default() },
        };
        self.service.reloaded(&report);
        report
    }

    /// One line per setting that changed and is only read at the start.
    fn needs_restart(&self, loaded: &Loaded) -> Vec<String> {
        let now = values(&loaded.effective);
        let of = |list: &[(String, Json)], path: &str| {
            list.iter().find(|(p, _)| p == path).map(|(_, value)| value.clone())
        };
        let mut paths: Vec<&String> = self.started.iter().chain(&now).map(|(p, _)| p).collect();
        paths.sort();
        paths.dedup();
        paths
            .into_iter()
            .filter(|path| !RELOADED.contains(&path.as_str()))
            .filter(|path| of(&self.started, path) != of(&now, path))
            .map(|path| format!("{path} has changed: it takes effect at the next start"))
            .collect()
    }
}

/// The content of a configuration, compiled behind detection: a large set of rules takes a core for
/// seconds.
fn compiled(loaded: &mut Loaded) -> Option<Content> {
    let done = std::thread::scope(|scope| {
        let compile = || {
            Priority::Hunts.take();
            check(&mut *loaded)
        };
        let thread = std::thread::Builder::new().name("sluice-compile".to_owned());
        thread.spawn_scoped(scope, compile).ok().map(|thread| thread.join())
    });
    match done {
        Some(Ok(content)) => content,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        // The system has no thread for it.
        None => check(loaded),
    }
}

/// Settings as they would be shown: of secrets, the references.
fn values(effective: &[Effective]) -> Vec<(String, Json)> {
    effective.iter().map(|e| (e.path.clone(), e.value.clone())).collect()
}

//! The inputs of a configuration: Kafka consumers, and spools with the endpoints that fill them. Not
//! the inputs themselves (see `sluice_ingest`).

use std::{path::Path, sync::Arc};

use sluice_engine::{Content, service::LiveInput};
use sluice_ingest::{
    InputOptions, RouteError, Router, SourceSpec,
    live::{Place, Positions},
    spool::{Spool, SpoolInput, SpoolSettings},
};

use super::push::{PushEndpoint, PushEndpoints};
use crate::{
    config::{Config, Source},
    exit::Failure,
};

#[cfg(feature = "kafka")]
pub(crate) mod kafka;

/// A build without the Kafka client. It refuses what names a topic, and says why.
#[cfg(not(feature = "kafka"))]
mod kafka {
    use std::path::Path;

    use sluice_ingest::{Router, live::Input};

    use crate::{config::Kafka, exit::Failure, node::content::NO_KAFKA};

    pub(super) fn input(
        name: &str,
        _: &Kafka,
        _: &Path,
        _: Router,
    ) -> Result<Box<dyn Input>, Failure> {
        let (primary, hint) = NO_KAFKA;
        Err(Failure::argument(format!("input {name}: {primary}"), hint))
    }
}

/// The inputs of a configuration, and the endpoints of those that are pushed to. `from` is where the
/// store has them go on.
///
/// # Errors
/// The first input that cannot be made.
pub(super) fn inputs(
    config: &Config,
    content: &Content,
    from: &Positions,
) -> Result<(Vec<LiveInput>, PushEndpoints), Failure> {
    let mut endpoints = PushEndpoints::new();
    let mut inputs = Vec::new();
    for (name, source) in &config.sources {
        let options = source.options();
        let router = router(name, &source.mapping, &options, content)?;
        let (input, kind) = if let Some(kafka) = &source.kafka {
            (kafka::input(name, kafka, &config.data_dir, router)?, "kafka")
        } else if let Some((spool_bytes, kind)) = pushed(source) {
            let place = Place { input: name.as_str().into(), part: "".into() };
            let settings = SpoolSettings {
                max_bytes: spool_bytes,
                start: from.get(&place).copied().unwrap_or(0),
                // Inputs pause before; what is left then is for the store.
                min_free: config.engine.min_free.0 / 2,
                ..SpoolSettings::default()
            };
            let spool = spool(name, &config.data_dir.join("spool").join(name), settings)?;
            let input = Box::new(SpoolInput::new(place.input, &spool, router));
            let fixed = fixed(&source.mapping).map(str::to_owned);
            let endpoint = PushEndpoint::new(spool, fixed, options, content.sources.clone());
            endpoints.insert(name.clone(), Arc::new(endpoint));
            (input as _, kind)
        } else {
            // Refused by the configuration already.
            continue;
        };
        inputs.push(LiveInput { input, kind, mapping: source.mapping.clone() });
    }
    Ok((inputs, endpoints))
}

/// The bytes of its spool and its kind, if an input is pushed to.
fn pushed(source: &Source) -> Option<(u64, &'static str)> {
    let http = source.http.as_ref().map(|http| (http.spool_bytes.0, "http"));
    http.or_else(|| source.ssf.as_ref().map(|ssf| (ssf.spool_bytes.0, "ssf")))
}

/// The mapping source of every record; `None` looks at each.
pub(crate) fn fixed(mapping: &str) -> Option<&str> {
    (mapping != "auto").then_some(mapping)
}

fn router(
    name: &str,
    mapping: &str,
    options: &InputOptions,
    content: &Content,
) -> Result<Router, Failure> {
    let router = Router::for_input(&content.sources, fixed(mapping), options)
        .map_err(|error| unknown(name, &error))?;
    let sources: Vec<&SourceSpec> = router.sources().collect();
    match options.unused(sources.iter().copied()).first() {
        None => Ok(router),
        Some((setting, codec)) => Err(Failure::argument(
            format!("input {name}: `{setting}` does nothing: its mapping has no {codec} codec"),
            format!("take out `sources.{name}.{setting}`, or mend `sources.{name}.mapping`"),
        )),
    }
}

fn unknown(name: &str, error: &RouteError) -> Failure {
    let hint = format!("`sources.{name}.mapping` names a mapping source, or is \"auto\"");
    Failure::argument(format!("input {name}: {error}"), hint)
}

fn spool(name: &str, dir: &Path, settings: SpoolSettings) -> Result<Spool, Failure> {
    Spool::open(dir, settings).map_err(|error| {
        Failure::argument(
            format!("input {name}: {error}"),
            format!("{} is the spool of this input, for one process at a time", dir.display()),
        )
    })
}

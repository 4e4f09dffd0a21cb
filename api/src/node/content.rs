//! Checks of a configuration against the content it names: mappings that are there, rules that
//! load, secrets that can be read.

use std::path::PathBuf;

use sluice_engine::Content;
use sluice_rule::Diagnostic;

use super::serve::tls_files;
use crate::{
    config::{Loaded, Problem},
    exit::engine_error,
    http::check_tls,
};

/// The mapping of an input that is detected from its records.
const AUTO: &str = "auto";

/// What is wrong with an input over Kafka in a build without its client, and how to mend it.
pub(crate) const NO_KAFKA: (&str, &str) = (
    "this build has no Kafka client",
    "build it with the feature `kafka`, which is on by default, or take it out",
);

/// Loads the content; an input whose mapping is not in it, or a folder that is not there, is a
/// problem of the configuration.
pub(crate) fn check(loaded: &mut Loaded) -> Option<Content> {
    let paths = |list: &[String]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    let config = &loaded.config;
    let lookups = paths(&config.lookups);
    match Content::load_with(&paths(&config.mappings), &paths(&config.rules), &lookups) {
        Ok(content) => {
            check_inputs(loaded, &content);
            Some(content)
        }
        Err(error) => {
            let text = engine_error(&error).replace("\n=", ",");
            let problem = Diagnostic::error("C009", "rules, mappings, lookups", text)
                .hint("`builtin`, or files and folders that are there");
            loaded.problems.push(Problem { diagnostic: problem, text: None });
            None
        }
    }
}

/// What every input names must be there: its mapping among the sources of the content, its client in
/// this build.
pub(crate) fn check_inputs(loaded: &mut Loaded, content: &Content) {
    if !cfg!(feature = "kafka") {
        refuse_kafka(loaded);
    }
    let names: Vec<&str> = content.sources.iter().map(|s| &*s.source).collect();
    let wrong: Vec<(String, String)> = loaded
        .config
        .sources
        .iter()
        .filter(|(_, s)| s.mapping != AUTO && !names.contains(&s.mapping.as_str()))
        .map(|(name, s)| (name.clone(), s.mapping.clone()))
        .collect();
    for (name, mapping) in wrong {
        let problem =
            Diagnostic::error("C009", "", format!("there is no mapping source `{mapping}`"))
                .did_you_mean(&mapping, names.iter().copied())
                .hint(format!("there are: {AUTO}, {}", names.join(", ")));
        loaded.blame(&format!("sources.{name}.mapping"), problem);
    }
}

/// A problem for each input over Kafka.
fn refuse_kafka(loaded: &mut Loaded) {
    let sources = loaded.config.sources.iter().filter(|(_, source)| source.kafka.is_some());
    let names: Vec<String> = sources.map(|(name, _)| name.clone()).collect();
    if loaded.config.signals.as_ref().is_some_and(|signals| signals.kafka.is_some()) {
        let (primary, hint) = NO_KAFKA;
        let problem = Diagnostic::error("C009", "", format!("signals: {primary}")).hint(hint);
        loaded.blame("signals.kafka.brokers", problem);
    }
    for name in names {
        let (primary, hint) = NO_KAFKA;
        let problem = Diagnostic::error("C009", "", format!("input {name}: {primary}")).hint(hint);
        loaded.blame(&format!("sources.{name}.kafka.brokers"), problem);
    }
}

/// Every reference to a secret must lead somewhere, and so must the files of TLS.
pub(crate) fn check_secrets(loaded: &mut Loaded) {
    if let Some(Err(error)) = loaded.config.api.tls.as_ref().map(tls_files).map(|f| check_tls(&f)) {
        let problem = Diagnostic::error("C006", "", error.to_string());
        let hint = "PEM files: the certificate with those up to its CA, and its key of mode 0600";
        loaded.blame("api.tls.certificate", problem.hint(hint));
    }
    let mut wrong = Vec::new();
    let topic = loaded.config.signals.as_ref().and_then(|signals| signals.kafka.as_ref());
    if let Some(Err(list)) = topic.map(|t| t.librdkafka.resolve(|name| std::env::var(name).ok())) {
        for unresolved in list {
            let path = format!("signals.kafka.librdkafka.\"{}\"", unresolved.option);
            let problem = Diagnostic::error("C006", "", unresolved.primary).hint(unresolved.hint);
            wrong.push((path, problem));
        }
    }
    for (name, source) in &loaded.config.sources {
        let Some(kafka) = &source.kafka else { continue };
        let Err(list) = kafka.librdkafka.resolve(|name| std::env::var(name).ok()) else { continue };
        for unresolved in list {
            let path = format!("sources.{name}.kafka.librdkafka.\"{}\"", unresolved.option);
            wrong.push((
                path,
                Diagnostic::error("C006", "", unresolved.primary).hint(unresolved.hint),
            ));
        }
    }
    for (path, problem) in wrong {
        loaded.blame(&path, problem);
    }
}

/// The problems of the configuration and those of its rules and mappings, warnings about style
/// left to `rule lint`.
pub(crate) fn with_problems(mut problems: Vec<Problem>, content: Option<&Content>) -> Vec<Problem> {
    let errors = content.into_iter().flat_map(Content::errors);
    problems.extend(errors.map(|p| Problem {
        diagnostic: p.diagnostic.clone(),
        text: p.text.as_deref().map(str::to_owned),
    }));
    problems
}

#[cfg(test)]
mod tests {
    use super::refuse_kafka;
    use crate::config::Layers;

    #[test]
    fn a_build_without_kafka_names_the_input_it_cannot_read() {
        let text = "[sources.push]\nmapping = \"auto\"\nhttp = {}\n\
                    [sources.topic]\nmapping = \"auto\"\n\
                    kafka = { brokers = \"127.0.0.1:1\", topics = [\"t\"] }\n";
        let mut loaded = Layers::of_text("sluice.toml", text);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        refuse_kafka(&mut loaded);
        let [problem] = loaded.problems.as_slice() else { panic!("{:?}", loaded.problems) };
        let shown = format!("{:?}", problem.diagnostic);
        assert!(shown.contains("input topic: this build has no Kafka client"), "{shown}");
        assert!(problem.diagnostic.span.is_some(), "{shown}");
        assert!(loaded.has_errors());
    }

    #[test]
    fn q8_a_build_without_kafka_names_the_topic_it_cannot_write() {
        let text = "[sources.push]\nmapping = \"auto\"\nhttp = {}\n\
                    [signals]\nissuer = \"https://s.example.com\"\nsigning_keys = [\"${env:K}\"]\n\
                    [signals.kafka]\nbrokers = \"127.0.0.1:1\"\n";
        let mut loaded = Layers::of_text("sluice.toml", text);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        refuse_kafka(&mut loaded);
        let [problem] = loaded.problems.as_slice() else { panic!("{:?}", loaded.problems) };
        let shown = format!("{:?}", problem.diagnostic);
        assert!(shown.contains("signals: this build has no Kafka client"), "{shown}");
        assert!(problem.diagnostic.span.is_some(), "{shown}");
    }
}

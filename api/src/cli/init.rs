//! `sluice init ..`: a commented configuration to begin with, that `config check` accepts.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::{
    exit::{Exit, Failure},
    load,
    output::Output,
};
use crate::config::Layers;

#[derive(Debug, Subcommand)]
pub(crate) enum InitVerb {
    /// Read topics of Kafka
    Kafka(Kafka),
}

impl InitVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            InitVerb::Kafka(verb) => verb.run(out),
        }
    }
}

/// Writes a commented configuration; never over a file that is there.
///
///   sluice init kafka --brokers kafka:9092 --topic okta --mapping okta.system
///   sluice config check --connect
///   sluice run
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Kafka {
    /// Where to find the cluster: host:port, several with commas between.
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// A topic; may be given again.
    #[arg(long = "topic", value_name = "TOPIC", default_value = "logs")]
    topics: Vec<String>,
    /// The mapping source of its records; `auto` looks at each.
    #[arg(long, default_value = "auto")]
    mapping: String,
    /// The file to write; `-` prints it.
    #[arg(long, value_name = "FILE", default_value = "sluice.toml")]
    output_file: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

impl Kafka {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let text = self.text();
        self.check(&text)?;
        if self.output_file.as_os_str() == "-" {
            return out.text(&text).map(|()| Exit::Done);
        }
        let shown = self.output_file.display();
        let mut options = fs::OpenOptions::new();
        options.write(true);
        // Refused by the system, not by a look before: nobody can come between.
        if self.force {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        let written =
            options.open(&self.output_file).and_then(|mut f| f.write_all(text.as_bytes()));
        match written {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::argument(
                    format!("{shown} is already there"),
                    "--output-file names another, --force writes over it, `-` prints",
                ));
            }
            Err(e) => {
                let hint = "--output-file names a place that can be written";
                return Err(Failure::argument(format!("cannot write {shown}: {e}"), hint));
            }
        }
        out.line(&self.output_file.display().to_string())?;
        if !out.quiet() {
            let config = match self.output_file.to_str() {
                Some("sluice.toml") => String::new(),
                _ => format!(" --config {shown}"),
            };
            eprintln!("next: sluice config check --connect{config}, then sluice run{config}");
        }
        Ok(Exit::Done)
    }

    /// What was given as arguments must be right in the file too.
    fn check(&self, text: &str) -> Result<(), Failure> {
        let mut loaded = Layers::of_text(&self.output_file.display().to_string(), text);
        let content = load::content(&["builtin".into()], &[], &[], true)?;
        crate::node::content::check_inputs(&mut loaded, &content);
        if loaded.has_errors() { Err(Failure::Config(loaded.problems)) } else { Ok(()) }
    }

    fn text(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let topics: Vec<String> = self.topics.iter().map(|t| quoted(t)).collect();
        let (brokers, topics) = (quoted(&self.brokers), topics.join(", "));
        let mapping = quoted(&self.mapping);
        format!(
            r#"# Sluice. Every key but the sources is optional; what is commented out shows its default.
# `sluice config check --connect` says what is wrong, `sluice config show` what takes effect.

# Findings, state, spools, index and tokens; one process at a time.
data_dir = "./data"

# Rules and mappings: what the binary ships, and files or folders of yours. Reloaded on change.
# rules = ["builtin", "./rules"]
# mappings = ["builtin", "./mappings"]

[api]
listen = "127.0.0.1:7777"
# Plain HTTP: to be reached by other machines, put a TLS proxy before it, then
# insecure = true

[sources.kafka]
# What the records are: a mapping source (`sluice mapping test` lists them), or "auto".
mapping = {mapping}

[sources.kafka.kafka]
brokers = {brokers}
# A topic that begins with ^ is a regular expression.
topics = [{topics}]
# Processes of one group share the partitions.
group = "sluice"
# Only for partitions without a position: "earliest", "latest" or a time.
start = "earliest"

# Any option of librdkafka, names in quotes. Secrets only as references.
[sources.kafka.kafka.librdkafka]
# "security.protocol" = "SASL_SSL"
# "sasl.mechanism" = "SCRAM-SHA-512"
# "sasl.username" = "sluice"
# "sasl.password" = "${{env:KAFKA_PASSWORD}}"
# "ssl.ca.location" = "/etc/ssl/certs/ca-certificates.crt"

# Records posted to /api/v1/ingest/push
# [sources.push]
# mapping = "auto"
# http = {{}}

# [engine]
# checkpoint_every = "2s"
# min_free = "256MiB"

# [retention]
# finding_age = "365d"
# finding_bytes = "10GiB"
"#
        )
    }
}

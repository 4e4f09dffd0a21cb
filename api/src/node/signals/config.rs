//! Signals from their settings: profiles of receivers, secrets followed, the policy of decisions.

use std::collections::BTreeMap;

use sluice_event::EntityKind;
use sluice_signal::{
    EventType, Profile, SigningKeys,
    policy::{Policy, Rule},
    stream::PushTarget,
    subject::Issuers,
    transmitter::Settings,
};

use crate::{
    config::{Receiver, Reference, RuleSignal, Secret, Signals},
    exit::Failure,
    network::Network,
};

/// What a transmitter is made of, and made of again.
pub(super) struct Build {
    pub(super) settings: Settings,
    pub(super) profiles: Vec<Profile>,
    pub(super) pems: Vec<Secret>,
    /// Client secrets by receiver.
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) token_key: [u8; 32],
    pub(super) networks: Vec<Network>,
    /// Open Policy Agents by name.
    pub(super) opa: BTreeMap<String, super::opa::Endpoint>,
    /// What findings of rules say by themselves.
    pub(super) rules: BTreeMap<String, RuleSignal>,
    /// The topic of levels.
    pub(super) kafka: Option<super::kafka::Settings>,
    /// Its name.
    pub(super) topic: Option<String>,
    pub(super) decisions: DecisionSettings,
}

/// How gateways are answered.
pub(crate) struct DecisionSettings {
    pub(super) policy: Policy,
    /// The header that names the user.
    pub(crate) user_header: String,
    /// The header that names the device.
    pub(crate) device_header: String,
    /// Of the step-up challenge.
    pub(crate) acr_values: Option<String>,
}

impl Build {
    pub(super) fn new(signals: &Signals, token_key: [u8; 32]) -> Result<Build, Failure> {
        let pems = signals
            .signing_keys
            .iter()
            .map(|key| resolve("signals.signing_keys", key))
            .collect::<Result<Vec<_>, _>>()?;
        SigningKeys::from_pems(pems.iter().map(|p| p.reveal())).map_err(|error| {
            let hint =
                "`signals.signing_keys` names PEM files: openssl genrsa -out signing.pem 2048";
            Failure::argument(format!("signals: {error}"), hint)
        })?;
        let mut secrets = BTreeMap::new();
        let mut profiles = Vec::new();
        for (name, receiver) in &signals.receivers {
            if let Some(secret) = &receiver.client_secret {
                let path = format!("signals.receivers.{name}.client_secret");
                secrets.insert(name.clone(), resolve(&path, secret)?);
            }
            profiles.push(profile(name, receiver, &signals.issuer)?);
        }
        let networks = signals.push_networks.0.clone();
        let opa = signals.opa.iter().map(|(name, opa)| {
            Ok((name.clone(), super::opa::Endpoint::new(name, opa, &networks)?))
        });
        let opa = opa.collect::<Result<_, Failure>>()?;
        let rules = signals.decisions.rules.iter();
        let rules = rules.map(|(prefix, rule)| Rule {
            prefix: prefix.clone(),
            medium: rule.medium.0,
            high: rule.high.0,
            not_ready: rule.on_not_ready,
        });
        Ok(Build {
            settings: Settings {
                issuer: signals.issuer.clone(),
                min_verification_interval: signals.min_verification_interval.0,
                keepalive: signals.keepalive.0,
                subject_removal_grace: signals.subject_removal_grace.0,
                queue_most: signals.queue.0.get(),
                queue_age: signals.queue_age.0,
                inactivity_timeout: signals.inactivity_timeout.0,
                storm_limit: signals.storm_limit.0.get(),
                not_compliant: signals.not_compliant_rules.clone(),
                less_assured: signals.less_assured_rules.clone(),
                feeds: signals.kafka.iter().map(|_| super::kafka::FEED.to_owned()).collect(),
            },
            profiles,
            pems,
            secrets,
            token_key,
            networks,
            opa,
            rules: signals.rules.clone(),
            topic: signals.kafka.as_ref().map(|kafka| kafka.topic.clone()),
            kafka: signals.kafka.as_ref().map(super::kafka::settings).transpose()?,
            decisions: DecisionSettings {
                policy: Policy::new(rules.collect(), signals.decisions.on_not_ready),
                user_header: signals.decisions.user_header.clone(),
                device_header: signals.decisions.device_header.clone(),
                acr_values: signals.decisions.acr_values.clone(),
            },
        })
    }
}

fn profile(name: &str, receiver: &Receiver, issuer: &str) -> Result<Profile, Failure> {
    let named = |issued: &Option<String>| issued.clone().unwrap_or_else(|| issuer.to_owned());
    let events = receiver.events.iter().filter_map(|e| EventType::parse(e)).collect::<Vec<_>>();
    let kinds = receiver.entities.iter().filter_map(|k| EntityKind::parse(k)).collect::<Vec<_>>();
    let authorization = match &receiver.push_authorization {
        Some(reference) => {
            let path = format!("signals.receivers.{name}.push_authorization");
            Some(resolve(&path, reference)?.reveal().to_owned())
        }
        None => None,
    };
    let audience = &receiver.audience;
    Ok(Profile {
        name: name.to_owned(),
        dialect: receiver.dialect.0,
        audience: if audience.is_empty() { vec![name.to_owned()] } else { audience.clone() },
        events: if events.is_empty() { EventType::offered().collect() } else { events },
        entities: if kinds.is_empty() { EntityKind::ALL.to_vec() } else { kinds },
        min_level: receiver.min_level.0,
        subject_format: receiver.subject_format.0,
        issuers: Issuers {
            users: named(&receiver.user_issuer),
            devices: named(&receiver.device_issuer),
        },
        all_subjects: receiver.all_subjects,
        shadow: receiver.shadow,
        detail: receiver.detail,
        revoke_sessions: receiver.revoke_sessions,
        approval: receiver.approval,
        staleness: receiver.staleness.0,
        rate: u32::try_from(receiver.rate.0.get()).unwrap_or(u32::MAX),
        min_interval: receiver.min_interval.0,
        push: receiver.push_url.clone().map(|url| PushTarget { url, authorization }),
        push_hosts: receiver.push_hosts.clone(),
    })
}

pub(super) fn resolve(path: &str, reference: &Reference) -> Result<Secret, Failure> {
    reference.resolve().map_err(|(what, hint)| Failure::argument(format!("`{path}`: {what}"), hint))
}

//! Settings of signals: who issues them, who receives them, what gateways are told. Not what is done
//! with them (see `node::signals`).

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::{Value as Json, json};
use sluice_event::EntityKind;
use sluice_rule::Diagnostic;
use sluice_signal::{
    Dialect, EventType, Level, Staleness,
    policy::{Action, NotReady},
    stream,
    subject::SubjectFormat,
};

use super::{
    options::Options,
    reader::{Notes, Reader, Section, Setting, Value, Wrong, section},
    said::RuleSignal,
    secret,
    tree::Raw,
    trust::{CloudflareAccess, TrustedIssuer},
    value::{Brokers, Count, Millis, Networks, word},
};

section! {
    /// Signals: changes of risk to identity providers and gateways, as OpenID Shared Signals. Without
    /// this table there are none.
    Signals {
        /// The issuer, `https://sluice.example.com`: the base of every URL that receivers use, and the
        /// `iss` of every token. Where TLS ends in a proxy, its name.
        issuer: String = "",
        /// RSA private keys in PEM files, `file:/path`, mode 0600. The first one signs, all are
        /// published. `openssl genrsa -out signing.pem 2048` makes one. To change it: append the next,
        /// wait an hour, put it first, remove the old one a day later; each step takes a restart.
        signing_keys: Vec<Reference> = "[]",
        /// Who receives.
        receivers: BTreeMap<String, Receiver> = "",
        /// Authorization servers whose access tokens receivers may show instead of ours,
        /// `[signals.trusted_issuers.corp]`.
        trusted_issuers: BTreeMap<String, TrustedIssuer> = "",
        /// Private, loopback or link-local networks that SETs may be pushed to. All others of these are
        /// refused, whatever a name resolves to; `http://` goes nowhere but there.
        push_networks: Networks = "[]",
        /// The least time between two verifications that a receiver asks for; sooner is 429.
        min_verification_interval: Millis = "60s",
        /// A push stream that nothing was sent on for this long gets a verification, so that an idle
        /// stream differs from a broken one; `0s`: none.
        keepalive: Millis = "5m",
        /// How long a subject is still heard of that a receiver removed: who stole its credential
        /// cannot silence a stream at once.
        subject_removal_grace: Millis = "24h",
        /// SETs that wait for one receiver that is away; the oldest is dropped for one more, counted.
        /// 10,000 take about 10 MiB of memory.
        queue: Count = "10000",
        /// Rises to `high` of one kind of entity within ten minutes after which rises wait for a
        /// person: a broken rule must not lock out the company.
        storm_limit: Count = "50",
        /// How long SETs wait for a receiver that is away; older ones are dropped, counted.
        queue_age: Millis = "7d",
        /// A stream that a receiver made is paused, and the receiver told, when it has neither polled it nor
        /// done anything else about it for so long; `0s`: never.
        inactivity_timeout: Millis = "0s",
        /// Rules that say of a device that it does not comply: with a rise of its level that they are
        /// behind receivers hear device-compliance-change, and again when it is low.
        not_compliant_rules: Vec<String> = "[\"endpoint.device_not_compliant\"]",
        /// Rules after which whoever signed in is less sure than the factor says: with a rise of a user's
        /// level receivers hear assurance-level-change (NIST-AAL, 2 to 1), and again when it is low.
        less_assured_rules: Vec<String> = "[\"identity.mfa_fatigue_success\"]",
        /// What findings of a rule say by themselves, `[signals.rules."identity.admin_role_granted"]`: a
        /// credential that changed or was stolen, claims that changed. Each finding says it once.
        rules: BTreeMap<String, RuleSignal> = "",
        /// Open Policy Agents that levels are written to, `[signals.opa.NAME]`. Those that fetch the bundle
        /// need none.
        opa: BTreeMap<String, Opa> = "",
        /// A topic of Kafka that has the level of every entity that is not at base.
        kafka: Option<RiskTopic> = "",
        /// What gateways are told.
        decisions: Decisions = "",
        /// External evaluation rules of Cloudflare Access.
        cloudflare_access: Option<CloudflareAccess> = "",
    }
}

section! {
    /// A receiver. Its name is its OAuth client id.
    Receiver {
        /// Its OAuth client secret, as `${env:NAME}` or `file:/path`. Unset: it manages and polls nothing
        /// itself, and `push_url` is how SETs get to it.
        client_secret: Option<Reference> = "",
        /// The issuer of `signals.trusted_issuers` whose access tokens it may show.
        trusted_issuer: Option<String> = "",
        /// Its client id there; unset: its name.
        trusted_client: Option<String> = "",
        /// The form of its SETs: `ssf`, or `okta` for a security events provider of Okta, which is pushed to at
        /// `https://ORG/security/api/v1/security-events` and whose `audience` is `https://ORG`. The latter is
        /// not tested against the vendor.
        dialect: DialectWord = "ssf",
        /// The `aud` of its SETs; unset: its name.
        audience: Vec<String> = "[]",
        /// The event types it may get, by short name; unset: all seven.
        events: Vec<String> = "[]",
        /// The kinds of entity it hears of; unset: all.
        entities: Vec<String> = "[]",
        /// Levels below this one are `low` to it.
        min_level: LevelWord = "medium",
        /// How users are named: `email` (else `iss_sub`), `iss_sub` or `complex`.
        subject_format: FormatWord = "email",
        /// Who issues its `iss_sub` identifiers of users; unset: the issuer above.
        user_issuer: Option<String> = "",
        /// Likewise of devices, workloads and applications.
        device_issuer: Option<String> = "",
        /// Whether it hears of every entity, or only of those that it added to its stream.
        all_subjects: bool = "true",
        /// Records what would be sent and sends nothing: to see how it would be.
        shadow: bool = "false",
        /// Whether SETs name score and rules, in the member `x_sluice`.
        detail: bool = "true",
        /// Whether a user's rise to `high` also ends their sessions: a session-revoked with the same
        /// `txn`.
        revoke_sessions: bool = "false",
        /// Whether a rise of computed risk is sent only when a person has approved it, so that no rule
        /// acts alone. What a person raises, and every fall, is sent at once.
        approval: bool = "false",
        /// What it hears of an entity while every input behind its level is silent. `hold`: the level stays,
        /// for a day of silence at most. `decay`: it falls as usual. `low_with_reason`: it is `low`, with the
        /// silence as the reason, until an input is heard again. Silence is never a rise.
        staleness: StalenessWord = "hold",
        /// SETs that are pushed to it within a second, at most.
        rate: Count = "50",
        /// The least time between two SETs about one subject; the newest level wins. A rise to `high`
        /// never waits.
        min_interval: Millis = "60s",
        /// Pushes SETs there from the start, on a stream of the operator's.
        push_url: Option<String> = "",
        /// The `Authorization` header of these pushes, as `${env:NAME}` or `file:/path`; unset: none.
        push_authorization: Option<Reference> = "",
        /// Hosts that the receiver may choose for push streams of its own; unset: it can only poll.
        push_hosts: Vec<String> = "[]",
    }
}

section! {
    /// An Open Policy Agent that levels are written to: the whole document at start, then a JSON Patch
    /// per change, of entities that are not `low`. Where it may be is `push_networks`.
    Opa {
        /// The document in its data API, `https://opa.example.com:8181/v1/data/sluice/risk`.
        url: String = "",
        /// The `Authorization` header, as `${env:NAME}` or `file:/path`; unset: none.
        authorization: Option<Reference> = "",
        /// The whole document is written again this often, so that one that was restarted has it.
        resync: Millis = "10m",
    }
}

section! {
    /// A compacted topic of Kafka with a record per change of level: key `kind:id`, the level as JSON, a
    /// tombstone for an entity that is back at base. Records that are not written yet wait as `queue`
    /// says; beyond it only the newest of each entity does.
    RiskTopic {
        /// Where to find the cluster: `host:port`, several with commas between.
        brokers: Brokers = "",
        /// The topic. It is made, compacted, if it is not there; one that is not compacted is refused.
        topic: String = "entity-risk",
        /// Partitions of a topic that is made.
        partitions: Count = "1",
        /// Any option of librdkafka, as it names them. Secrets as `${env:NAME}` or `file:/path`.
        librdkafka: Options = "",
    }
}

section! {
    /// What gateways are told: AuthZEN, Envoy ext_authz and forward-auth.
    Decisions {
        /// Rules by path prefix, `[signals.decisions.rules."/admin"]`; the longest one that covers the
        /// path decides. Without one for `/`: step up at `medium`, deny at `high`.
        rules: BTreeMap<String, DecisionRule> = "",
        /// When levels cannot be read and no rule says otherwise: `error` answers 503, so that the
        /// gateway's own setting decides; `deny` and `allow` answer for it.
        on_not_ready: NotReady = "error",
        /// The header that names the user, set by the gateway and by nobody else.
        user_header: String = "x-user",
        /// The header that names the device, likewise.
        device_header: String = "x-device",
        /// Address and port where Envoy asks over gRPC (`ext_authz`, HTTP/2), a listener of its own with
        /// the certificate of `api.tls`; unset: only over HTTP.
        grpc_listen: Option<SocketAddr> = "",
        /// `acr_values` of the challenge when a gateway is to ask for more proof (RFC 9470); unset: the
        /// challenge names none.
        acr_values: Option<String> = "",
    }
}

section! {
    /// What to do on resources below a path: `allow`, `step_up` or `deny`.
    DecisionRule {
        /// At `medium`.
        medium: ActionWord = "step_up",
        /// At `high`.
        high: ActionWord = "deny",
        /// When levels cannot be read: `error`, `deny` or `allow`. Unset: as `signals.decisions` says.
        on_not_ready: Option<NotReady> = "",
    }
}

/// A secret by reference: `${env:NAME}` or `file:/path`. What it leads to is never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference(pub(crate) String);

/// A level as a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LevelWord(pub(crate) Level);

/// A subject format as a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormatWord(pub(crate) SubjectFormat);

/// A dialect as a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DialectWord(pub(crate) Dialect);

/// What silence makes of levels, as a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StalenessWord(pub(crate) Staleness);

/// An action as a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActionWord(pub(crate) Action);

const NOT_READY: [(&str, NotReady); 3] =
    [("error", NotReady::Error), ("deny", NotReady::Deny), ("allow", NotReady::Allow)];
const LEVELS: [(&str, LevelWord); 3] = [
    ("low", LevelWord(Level::Low)),
    ("medium", LevelWord(Level::Medium)),
    ("high", LevelWord(Level::High)),
];
const FORMATS: [(&str, FormatWord); 3] = [
    ("email", FormatWord(SubjectFormat::Email)),
    ("iss_sub", FormatWord(SubjectFormat::IssSub)),
    ("complex", FormatWord(SubjectFormat::Complex)),
];
const DIALECTS: [(&str, DialectWord); 2] =
    [("ssf", DialectWord(Dialect::Ssf)), ("okta", DialectWord(Dialect::Okta))];
const STALENESS: [(&str, StalenessWord); 3] = [
    ("hold", StalenessWord(Staleness::Hold)),
    ("decay", StalenessWord(Staleness::Decay)),
    ("low_with_reason", StalenessWord(Staleness::Low)),
];
const ACTIONS: [(&str, ActionWord); 3] = [
    ("allow", ActionWord(Action::Allow)),
    ("step_up", ActionWord(Action::StepUp)),
    ("deny", ActionWord(Action::Deny)),
];

/// A value that is one of some words.
macro_rules! words {
    ($kind:ty, $words:expr, $first:expr, $field:tt) => {
        impl Value for $kind {
            fn parse(raw: &Raw) -> Result<Self, Wrong> {
                word(raw, &$words)
            }

            fn default(text: &str) -> Self {
                $words.iter().find(|(name, _)| *name == text).map_or($first, |(_, value)| *value)
            }

            fn shown(&self) -> Json {
                let same = |value: &$kind| words!(@same $field, value, self);
                $words.iter().find(|(_, value)| same(value)).map_or(Json::Null, |w| w.0.into())
            }

            fn schema() -> Json {
                json!({"enum": $words.map(|(name, _)| name)})
            }
        }
    };
    (@same whole, $a:expr, $b:expr) => { $a == $b };
    (@same inner, $a:expr, $b:expr) => { $a.0 == $b.0 };
}

words!(NotReady, NOT_READY, NotReady::Error, whole);
words!(LevelWord, LEVELS, LevelWord(Level::Medium), inner);
words!(FormatWord, FORMATS, FormatWord(SubjectFormat::Email), inner);
words!(DialectWord, DIALECTS, DialectWord(Dialect::Ssf), inner);
words!(StalenessWord, STALENESS, StalenessWord(Staleness::Hold), inner);
words!(ActionWord, ACTIONS, ActionWord(Action::Deny), inner);

impl Reference {
    /// The secret it leads to.
    ///
    /// # Errors
    /// What cannot be followed and how to mend it: (what, hint).
    pub(crate) fn resolve(&self) -> Result<secret::Secret, (String, String)> {
        secret::resolve(&self.0, |name| std::env::var(name).ok())
    }
}

const SECRET: &str = "\"${env:NAME}\" takes it from an environment variable, \"file:/path\" from a \
                      file with mode 0600";

impl Value for Reference {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let text = String::parse(raw)?;
        match secret::is_reference(&text) {
            true => Ok(Reference(text)),
            false => Err(Wrong::new("a secret must not be in the configuration", SECRET)),
        }
    }

    fn default(text: &str) -> Self {
        Reference(text.to_owned())
    }

    fn shown(&self) -> Json {
        self.0.as_str().into()
    }

    fn schema() -> Json {
        json!({"type": "string"})
    }
}

impl Value for Vec<Reference> {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        let texts = Vec::<String>::parse(raw)?;
        match texts.iter().all(|text| secret::is_reference(text)) {
            true => Ok(texts.into_iter().map(Reference).collect()),
            false => Err(Wrong::new("a secret must not be in the configuration", SECRET)),
        }
    }

    fn default(_text: &str) -> Self {
        Vec::new()
    }

    fn shown(&self) -> Json {
        self.iter().map(Value::shown).collect()
    }

    fn schema() -> Json {
        json!({"type": "array", "items": {"type": "string"}})
    }
}

impl Setting for BTreeMap<String, Receiver> {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut receivers = reader.below(key);
        let names = receivers.keys();
        let mut read = BTreeMap::new();
        for name in names {
            let good = !name.is_empty()
                && name.len() <= 64
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let mut below = receivers.below(name);
            if !good {
                below.missing(
                    format!("`{name}` cannot be the name of a receiver"),
                    "at most 64 letters, digits, _ and -: it is an OAuth client id",
                );
            }
            read.insert(name.to_owned(), Receiver::section(&mut below));
        }
        read
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
            "additionalProperties": super::reader::object_schema::<Receiver>(),
        })
    }
}

impl Setting for BTreeMap<String, Opa> {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut agents = reader.below(key);
        let names = agents.keys();
        names
            .into_iter()
            .map(|name| (name.to_owned(), Opa::section(&mut agents.below(name))))
            .collect()
    }

    fn schema() -> Json {
        let agent = super::reader::object_schema::<Opa>();
        json!({"type": "object", "additionalProperties": agent})
    }
}

impl Setting for BTreeMap<String, DecisionRule> {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut rules = reader.below(key);
        let prefixes = rules.keys();
        let mut read = BTreeMap::new();
        for prefix in prefixes {
            let mut below = rules.below(prefix);
            if !prefix.starts_with('/') {
                below.missing(format!("`{prefix}` is no path"), "\"/admin\": it begins with a /");
            }
            read.insert(prefix.to_owned(), DecisionRule::section(&mut below));
        }
        read
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": {"pattern": "^/"},
            "additionalProperties": super::reader::object_schema::<DecisionRule>(),
        })
    }
}

/// What settings of signals must be, beside each being well formed.
pub(super) fn check(signals: &Signals, notes: &mut Notes) {
    let mut blame = |path: String, problem: String, hint: &str| {
        notes.blame(&path, Diagnostic::error("C005", "", problem).hint(hint));
    };
    let host = stream::host(&signals.issuer);
    let local = host.is_some_and(|h| matches!(h, "localhost" | "127.0.0.1" | "::1"));
    let https = signals.issuer.starts_with("https://") || local;
    if host.is_none() || !https || signals.issuer.ends_with('/') {
        let problem = format!("`{}` cannot be an issuer", signals.issuer);
        blame(
            "signals.issuer".into(),
            problem,
            "\"https://sluice.example.com\", without a / at its end",
        );
    }
    if signals.signing_keys.is_empty() {
        let hint = "openssl genrsa -out signing.pem 2048, chmod 600 signing.pem, and \
                    signing_keys = [\"file:/path/signing.pem\"]";
        blame("signals.signing_keys".into(), "no signing key is named".into(), hint);
    }
    for key in &signals.signing_keys {
        let exposed = secret::file_of(&key.0).and_then(secret::readable);
        if matches!(exposed, Some(secret::Readable::World)) {
            let problem = "everybody on this machine can read a signing key".to_owned();
            blame("signals.signing_keys".into(), problem, "chmod 600 on the file");
        }
    }
    for (name, opa) in &signals.opa {
        let path = format!("signals.opa.{name}");
        if stream::host(&opa.url).is_none() {
            let hint = "\"https://opa.example.com:8181/v1/data/sluice/risk\"";
            blame(format!("{path}.url"), "this is no URL of a document".into(), hint);
        }
        if opa.resync.0 < 1_000 {
            blame(format!("{path}.resync"), "that is no time between two".into(), "\"10m\"");
        }
    }
    for (name, receiver) in &signals.receivers {
        let path = |key: &str| format!("signals.receivers.{name}.{key}");
        for event in &receiver.events {
            let known = EventType::parse(event).is_some_and(|e| !e.is_about_stream());
            if !known {
                let names: Vec<&str> = EventType::offered().map(EventType::name).collect();
                let hint = format!("one of {}", names.join(", "));
                blame(path("events"), format!("there is no event type `{event}`"), &hint);
            }
        }
        for kind in receiver.entities.iter().filter(|k| EntityKind::parse(k).is_none()) {
            let hint = format!("one of {}", EntityKind::ALL.map(EntityKind::name).join(", "));
            blame(path("entities"), format!("there is no kind of entity `{kind}`"), &hint);
        }
        if receiver.push_url.as_ref().is_some_and(|url| stream::host(url).is_none()) {
            let hint = "\"https://idp.example.com/ssf/push\"";
            blame(path("push_url"), "this is no URL to push to".into(), hint);
        }
        if receiver.dialect.0 == Dialect::Okta && receiver.push_url.is_none() {
            let hint = "push_url = \"https://example.okta.com/security/api/v1/security-events\"";
            blame(path("dialect"), "Okta is pushed to, and there is no `push_url`".into(), hint);
        }
        if receiver.push_authorization.is_some() && receiver.push_url.is_none() {
            let hint = "`push_url`, or remove `push_authorization`";
            blame(path("push_authorization"), "there is no `push_url` to send it to".into(), hint);
        }
        let manages = receiver.client_secret.is_some() || receiver.trusted_issuer.is_some();
        if receiver.push_url.is_none() && !manages {
            let hint = "`push_url`, or `client_secret` or `trusted_issuer` so that it can poll";
            blame(path("push_url"), format!("nothing can get to the receiver `{name}`"), hint);
        }
    }
}

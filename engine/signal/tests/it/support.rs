//! A transmitter with a store that is a map, and the keys of tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_event::EntityKind;
use sluice_signal::{
    EntityKey, EventType, Level, Observation, Override, Profile, SigningKeys, Transmitter,
    push::Answer,
    stream::PushTarget,
    transmitter::{Attempt, PollRequest, Settings},
    verify::{Expected, VerifiedSet, verify},
};

pub(crate) const ISSUER: &str = "https://sluice.example.com";
/// 2026-01-01.
pub(crate) const START: i64 = 1_767_225_600_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const KEY_ONE: &str = include_str!("keys/one.pem");
pub(crate) const KEY_TWO: &str = include_str!("keys/two.pem");

/// A transmitter, and what would be on disk.
pub(crate) struct Bench {
    pub(crate) transmitter: Transmitter,
    pub(crate) disk: BTreeMap<String, Vec<u8>>,
    pub(crate) now: i64,
    profiles: Vec<Profile>,
    settings: Settings,
}

pub(crate) fn profile(name: &str) -> Profile {
    Profile {
        audience: vec![format!("https://{name}.example.com")],
        rate: u32::MAX,
        push_hosts: vec![format!("{name}.example.com")],
        ..Profile::plain(name, ISSUER)
    }
}

pub(crate) fn push_profile(name: &str) -> Profile {
    let target = PushTarget {
        url: format!("https://{name}.example.com/ssf/push"),
        authorization: Some("Bearer of-the-receiver".into()),
    };
    Profile { push: Some(target), ..profile(name) }
}

pub(crate) fn settings() -> Settings {
    Settings {
        issuer: ISSUER.into(),
        min_verification_interval: MINUTE,
        keepalive: 0,
        subject_removal_grace: 24 * 60 * MINUTE,
        queue_most: 10_000,
        queue_age: 7 * 24 * 60 * MINUTE,
        inactivity_timeout: 0,
        storm_limit: 50,
        not_compliant: vec!["endpoint.device_not_compliant".into()],
        less_assured: vec!["identity.mfa_fatigue_success".into()],
        feeds: Vec::new(),
    }
}

pub(crate) fn keys() -> SigningKeys {
    SigningKeys::from_pems([KEY_ONE, KEY_TWO]).unwrap()
}

pub(crate) fn user(id: &str) -> EntityKey {
    EntityKey { kind: EntityKind::User, id: id.to_owned() }
}

impl Bench {
    pub(crate) fn new(profiles: Vec<Profile>) -> Bench {
        Bench::with(settings(), profiles)
    }

    pub(crate) fn with(settings: Settings, profiles: Vec<Profile>) -> Bench {
        let (disk, now) = (BTreeMap::new(), START);
        let transmitter =
            Transmitter::load(settings.clone(), keys(), profiles.clone(), [], now).unwrap();
        let mut bench = Bench { transmitter, disk, now, profiles, settings };
        bench.commit();
        bench
    }

    /// Makes durable what has changed.
    pub(crate) fn commit(&mut self) {
        for change in self.transmitter.take_changes() {
            match change.value {
                Some(value) => self.disk.insert(change.key, value),
                None => self.disk.remove(&change.key),
            };
        }
    }

    /// The process dies and starts again: what was not committed is gone.
    pub(crate) fn restart(&mut self) {
        let disk = self.disk.clone();
        self.transmitter =
            Transmitter::load(self.settings.clone(), keys(), self.profiles.clone(), disk, self.now)
                .unwrap();
        self.commit();
    }

    /// The operator changes the configuration, and starts the process again.
    pub(crate) fn reconfigure(&mut self, profiles: Vec<Profile>) {
        self.profiles = profiles;
        self.restart();
    }

    pub(crate) fn raise(&mut self, id: &str, level: Level) {
        let over = Override {
            level,
            reason: "seen at the desk of another".into(),
            by: "ann".into(),
            since: self.now,
            until: self.now + 60 * MINUTE,
        };
        self.transmitter.raise(&user(id), over, self.now);
        self.commit();
    }

    pub(crate) fn observe(&mut self, id: &str, level: Level) {
        let seen = Observation {
            level,
            score: Some(82.0),
            at: self.now,
            reasons: vec!["identity.mfa_fatigue".into()],
        };
        self.transmitter.observe(&user(id), seen, self.now);
        self.commit();
    }

    /// A stream that the receiver makes; its id.
    pub(crate) fn create(&mut self, receiver: &str, body: &Value) -> String {
        let nonce = format!("{receiver}{}", self.disk.len());
        let made = self.transmitter.create_stream(receiver, body, &nonce, self.now).unwrap();
        self.commit();
        made["stream_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn poll(
        &mut self,
        receiver: &str,
        id: &str,
        body: Value,
    ) -> Vec<(String, VerifiedSet)> {
        let request = PollRequest::parse(&body).unwrap();
        let answer = self.transmitter.poll(receiver, id, &request, self.now).unwrap().to_value();
        self.commit();
        let sets = answer["sets"].as_object().unwrap().clone();
        sets.into_iter().map(|(jti, jwt)| (jti, self.verified(jwt.as_str().unwrap()))).collect()
    }

    /// What a receiver gets: the id of the configured push stream of the only receiver.
    pub(crate) fn pushed(&mut self) -> Option<(Attempt, VerifiedSet)> {
        let id = self.push_stream();
        let attempt = self.transmitter.next_push(&id, self.now).unwrap()?;
        self.commit();
        let set = self.verified(&attempt.token);
        Some((attempt, set))
    }

    pub(crate) fn answer(&mut self, attempt: &Attempt, answer: &Answer) {
        let id = self.push_stream();
        self.transmitter.push_done(&id, &attempt.jti, answer, 1.0, self.now);
        self.commit();
    }

    pub(crate) fn push_stream(&self) -> String {
        self.transmitter.streams().find(|s| s.configured).unwrap().id.clone()
    }

    /// Everything that S1 to S4 ask of each SET.
    #[track_caller]
    pub(crate) fn verified(&self, token: &str) -> VerifiedSet {
        let expected = Expected {
            jwks: &self.transmitter.keys().jwks(),
            issuer: Some(ISSUER),
            audience: None,
            now: self.now,
        };
        let set = verify(token, &expected).unwrap();
        let iat = set.claims["iat"].as_i64().unwrap();
        assert!(iat <= self.now.div_euclid(1000), "iat is in the future: {iat}");
        assert_eq!(set.claims["events"].as_object().unwrap().len(), 1);
        assert!(!set.claims["aud"].is_null());
        set
    }
}

pub(crate) fn http(status: u16) -> Answer {
    Answer::Http { status, retry_after: None, err: None }
}

/// The one event of a SET.
pub(crate) fn event(set: &VerifiedSet) -> &Value {
    set.claims["events"].as_object().unwrap().values().next().unwrap()
}

/// current and previous level of a risk-level-change.
pub(crate) fn levels(set: &VerifiedSet) -> (String, String) {
    let text = |name: &str| event(set)[name].as_str().unwrap_or_default().to_owned();
    (text("current_level"), text("previous_level"))
}

pub(crate) fn everything() -> Value {
    let uris: Vec<String> = EventType::offered().map(EventType::uri).collect();
    json!({"events_requested": uris})
}

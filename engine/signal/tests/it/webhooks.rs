//! Webhooks: who hears of what, each message once under the same id whatever dies in between, retries,
//! dead letters, the rate limit, signatures. Not how bodies look (see `webhook_templates`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, json};
use sluice_signal::{
    push::Answer,
    webhook::{Message, Notice, NoticeKind, Target, Template, Urgency, WebhookSecret, Webhooks},
};

use crate::support::{MINUTE, START, http};

const HOUR: i64 = 60 * MINUTE;

/// Webhooks with a store that is a map.
struct Bench {
    webhooks: Webhooks,
    disk: BTreeMap<String, Vec<u8>>,
    targets: Vec<Target>,
    now: i64,
}

pub(crate) fn target(name: &str) -> Target {
    Target {
        name: name.to_owned(),
        kinds: NoticeKind::offered().collect(),
        min_urgency: Urgency::Informational,
        template: Template::Standard,
        pages: None,
        per_minute: 1_000,
        queue_most: 1_000,
    }
}

pub(crate) fn notice(kind: NoticeKind, subject: &str) -> Notice {
    let mut data = Map::new();
    data.insert("id".into(), subject.into());
    Notice {
        kind,
        subject: subject.to_owned(),
        number: 0,
        time: START,
        urgency: Urgency::High,
        title: format!("Something about {subject}"),
        facts: vec![("rule", "identity.mfa_fatigue".to_owned())],
        page: format!("/#/findings/{subject}"),
        data,
    }
}

impl Bench {
    fn new(targets: Vec<Target>) -> Bench {
        let webhooks = Webhooks::load(targets.clone(), []).unwrap();
        Bench { webhooks, disk: BTreeMap::new(), targets, now: START }
    }

    fn commit(&mut self) {
        for change in self.webhooks.take_changes() {
            match change.value {
                Some(value) => self.disk.insert(change.key, value),
                None => self.disk.remove(&change.key),
            };
        }
    }

    fn restart(&mut self) {
        self.webhooks = Webhooks::load(self.targets.clone(), self.disk.clone()).unwrap();
        self.commit();
    }

    fn offer(&mut self, notice: &Notice) {
        let disk = self.disk.clone();
        self.webhooks.offer(notice, |key| disk.contains_key(key), self.now);
        self.commit();
    }

    fn next(&mut self, name: &str) -> Option<Message> {
        self.webhooks.next(name, self.now)
    }

    fn answer(&mut self, name: &str, message: &Message, answer: &Answer) {
        self.webhooks.done(name, &message.id, answer, 0.0, self.now);
        self.commit();
    }

    /// Kinds and subjects that a target accepts now.
    fn drain(&mut self, name: &str) -> Vec<String> {
        let mut got = Vec::new();
        while let Some(message) = self.next(name) {
            self.answer(name, &message, &http(200));
            got.push(format!("{} {}", message.kind, message.subject));
        }
        got
    }
}

#[test]
fn q8_signature_is_that_of_the_specification() {
    // The example of the Standard Webhooks specification and its reference libraries.
    let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = "{\"test\": 2432232314}";
    assert_eq!(
        secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
    assert!(!format!("{secret:?}").contains("Mf"));
    for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_**"] {
        let error = WebhookSecret::parse(wrong).unwrap_err().to_string();
        assert!(!error.contains("c2hv"), "{error}");
    }
}

#[test]
fn a_subject_is_told_once_and_its_end_only_to_those_who_heard_of_it() {
    let loud = Target { min_urgency: Urgency::Critical, ..target("loud") };
    let risks = Target { kinds: vec![NoticeKind::RiskChanged], ..target("risks") };
    let mut bench = Bench::new(vec![loud, risks, target("all")]);
    let opened = notice(NoticeKind::FindingOpened, "f1");
    // An update of the finding is offered again, also in one batch and after a restart.
    for _ in 0..2 {
        let disk = bench.disk.clone();
        bench.webhooks.offer(&opened, |key| disk.contains_key(key), START);
    }
    bench.commit();
    bench.restart();
    bench.offer(&opened);
    bench.offer(&notice(NoticeKind::FindingWithdrawn, "f1"));
    bench.offer(&notice(NoticeKind::FindingWithdrawn, "f1"));
    bench.offer(&notice(NoticeKind::FindingWithdrawn, "f2"));
    for number in [1, 2] {
        bench.offer(&Notice { number, ..notice(NoticeKind::RiskChanged, "user:ann") });
    }
    let both = ["risk.changed user:ann", "risk.changed user:ann"];
    assert_eq!(bench.drain("loud"), Vec::<String>::new());
    assert_eq!(bench.drain("risks"), both);
    let all = ["finding.opened f1", "finding.withdrawn f1", both[0], both[1]];
    assert_eq!(bench.drain("all"), all);

    // A finding that retention removed and that is made again is a new one.
    bench.webhooks.forget("f1");
    bench.commit();
    assert!(!bench.disk.keys().any(|key| key.starts_with("notified/")), "{:?}", bench.disk.keys());
    bench.offer(&opened);
    assert_eq!(bench.drain("all"), ["finding.opened f1"]);
}

#[test]
fn retries_follow_the_schedule_also_over_restarts_and_end_as_a_dead_letter() {
    let mut bench = Bench::new(vec![target("soc")]);
    bench.offer(&notice(NoticeKind::IncidentOpened, "i1"));
    let mut waits = Vec::new();
    let mut ids = BTreeSet::new();
    while let Some(message) = bench.next("soc") {
        ids.insert(message.id.clone());
        bench.answer("soc", &message, &http(500));
        bench.restart();
        let from = bench.now;
        let Some(waiting) = bench.webhooks.queue("soc").next() else { break };
        let due = waiting.not_before;
        bench.now = due - 1;
        assert!(bench.next("soc").is_none(), "before its time");
        bench.now = due;
        waits.push((due - from) / 1_000);
    }
    assert_eq!(waits, [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
    assert_eq!(ids.len(), 1, "one id in every attempt");
    let dead: Vec<Message> = bench.webhooks.dead_letters("soc").cloned().collect();
    assert_eq!((dead.len(), dead[0].error.as_deref()), (1, Some("HTTP 500")));

    // A person sends it again: the same id, and once.
    bench.restart();
    assert!(bench.webhooks.replay("soc", Some("msg_other"), bench.now).is_err());
    assert_eq!(bench.webhooks.replay("soc", None, bench.now), Ok(1));
    bench.commit();
    bench.restart();
    assert_eq!(bench.next("soc").map(|m| m.id), ids.first().cloned());
    let message = bench.webhooks.queue("soc").next().cloned().unwrap();
    bench.answer("soc", &message, &http(204));
    bench.now += HOUR;
    assert!(bench.next("soc").is_none());
    let health = bench.webhooks.health("soc").unwrap();
    assert_eq!((health.queued, health.dead_letters, health.failures), (0, 0, 0));
    assert!(!bench.disk.keys().any(|k| k.starts_with("message/") || k.starts_with("dead/")));
}

#[test]
fn b34_a_target_that_fails_is_asked_rarely_and_one_that_is_gone_not_at_all() {
    let mut bench = Bench::new(vec![target("soc"), target("other")]);
    for n in 0..500 {
        bench.offer(&notice(NoticeKind::FindingOpened, &format!("f{n}")));
    }
    let mut attempts = 0;
    let end = bench.now + HOUR;
    while bench.now < end {
        if let Some(message) = bench.next("soc") {
            attempts += 1;
            bench.answer("soc", &message, &Answer::None("connection refused".into()));
        }
        bench.now += 1_000;
    }
    assert!((60..80).contains(&attempts), "{attempts} attempts in an hour");
    assert_eq!(bench.webhooks.health("soc").unwrap().queued, 500);
    assert_eq!(bench.drain("other").len(), 500, "another target is not held up");

    // `Retry-After` is kept.
    bench.now += MINUTE;
    let message = bench.next("soc").unwrap();
    let later = Answer::Http { status: 429, retry_after: Some(2 * HOUR), err: None };
    bench.answer("soc", &message, &later);
    bench.now += 2 * HOUR - 1;
    assert!(bench.next("soc").is_none());
    bench.now += 1;
    let message = bench.next("soc").unwrap();
    bench.answer("soc", &message, &http(410));
    bench.now += 24 * HOUR;
    bench.restart();
    assert!(bench.next("soc").is_none(), "gone, also after a restart");
    assert!(bench.webhooks.health("soc").unwrap().disabled.is_some());
    bench.webhooks.enable("soc").unwrap();
    bench.commit();
    bench.restart();
    assert_eq!(bench.drain("soc").len(), 500);
}

#[test]
fn the_rate_is_kept_and_a_full_queue_drops_the_oldest_and_counts_it() {
    let slow = Target { per_minute: 10, queue_most: 50, ..target("slow") };
    let mut bench = Bench::new(vec![slow]);
    for n in 0..60 {
        bench.offer(&notice(NoticeKind::FindingOpened, &format!("f{n}")));
    }
    assert_eq!(bench.webhooks.totals().dropped, 10);
    let mut got = bench.drain("slow");
    assert_eq!((got.len(), got[0].as_str()), (10, "finding.opened f10"));
    for _ in 0..4 {
        bench.now += MINUTE - 1;
        assert!(bench.drain("slow").is_empty());
        bench.now += 1;
        got.extend(bench.drain("slow"));
    }
    assert_eq!(got.len(), 50);
    // A clock that is set back an hour stops nothing for an hour.
    bench.now -= HOUR;
    bench.offer(&notice(NoticeKind::FindingOpened, "last"));
    assert_eq!(bench.drain("slow"), ["finding.opened last"]);
    assert!(!bench.disk.keys().any(|key| key.starts_with("message/")));
}

#[test]
fn kills_between_any_two_steps_leave_each_message_once() {
    let mut accepted = BTreeMap::new();
    for seed in 0..50_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
            (random >> 33) % most
        };
        let mut bench = Bench::new(vec![target("soc")]);
        let mut got: BTreeMap<String, String> = BTreeMap::new();
        for n in 0..20 {
            bench.offer(&notice(NoticeKind::FindingOpened, &format!("f{}", n / 2)));
            if below(3) == 0 {
                bench.restart();
            }
            let Some(message) = bench.next("soc") else { continue };
            let body = message.body.to_string();
            // The target accepts it; whether the answer arrives is another matter.
            let before = got.insert(message.id.clone(), body.clone());
            assert!(before.is_none_or(|before| before == body), "seed {seed}: another body");
            match below(3) {
                0 => bench.restart(),
                1 => bench.answer("soc", &message, &Answer::None("timed out".into())),
                _ => bench.answer("soc", &message, &http(202)),
            }
            bench.now += below(10) as i64 * 1_000;
        }
        bench.now += 24 * HOUR;
        while let Some(message) = bench.next("soc") {
            got.insert(message.id.clone(), message.body.to_string());
            bench.answer("soc", &message, &http(202));
        }
        assert_eq!(got.len(), 10, "seed {seed}");
        assert!(!bench.disk.keys().any(|key| key.starts_with("message/")), "seed {seed}");
        accepted.insert(seed, got);
    }
    let first = &accepted[&0];
    assert!(accepted.values().all(|got| got == first), "ids depend on what died");
}

#[test]
fn n7_a_damaged_record_is_named_and_records_of_a_removed_target_go() {
    let mut bench = Bench::new(vec![target("soc"), target("gone")]);
    bench.offer(&notice(NoticeKind::FindingOpened, "f1"));
    assert_eq!(bench.disk.keys().filter(|k| k.starts_with("message/")).count(), 2);
    bench.targets.pop();
    bench.restart();
    assert_eq!(bench.disk.keys().filter(|k| k.starts_with("message/")).count(), 1);
    let key = bench.disk.keys().find(|k| k.starts_with("message/")).unwrap().clone();
    for (key, value) in [
        (key.as_str(), b"{".as_slice()),
        ("message/soc/00000000000000000009", bench.disk[&key].as_slice()),
        ("other/soc/1", bench.disk[&key].as_slice()),
        ("message", b"{}"),
    ] {
        let records = [(key.to_owned(), value.to_vec())];
        let error = Webhooks::load(bench.targets.clone(), records).unwrap_err();
        assert_eq!(error.key, key);
    }
}

#[test]
fn a_test_goes_to_its_target_alone_whatever_that_wants() {
    let deaf = Target { kinds: Vec::new(), ..target("deaf") };
    let mut bench = Bench::new(vec![deaf, target("other")]);
    let id = bench.webhooks.test("deaf", "n1", START).unwrap();
    assert!(bench.webhooks.test("nobody", "n1", START).is_err());
    bench.commit();
    let message = bench.next("deaf").unwrap();
    assert_eq!((message.id, &message.body["type"]), (id, &json!("test")));
    assert!(bench.next("other").is_none());
}

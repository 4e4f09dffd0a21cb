//! Okta System Log: one LogEvent as JSON per line, as the System Log API returns them.
//! <https://developer.okta.com/docs/api/openapi/okta-management/management/tag/SystemLog/>

use serde_json::{Map, Value, json};

use crate::{
    Line, Random, civil,
    world::{PEOPLE, Person, Place},
};

pub(crate) const SOURCE: &str = "okta.system";

/// What an event says beyond who and from where.
pub(crate) struct Event<'a> {
    pub(crate) kind: &'a str,
    pub(crate) message: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) session: &'a str,
    pub(crate) target: Vec<Value>,
    pub(crate) debug: &'a [(&'a str, &'a str)],
}

/// The client an event comes from.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) ip: String,
    pub(crate) place: Place,
    pub(crate) agent: &'static str,
    pub(crate) os: &'static str,
    pub(crate) browser: &'static str,
    pub(crate) proxy: bool,
}

const AGENTS: [(&str, &str, &str); 4] = [
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Mac OS X",
        "CHROME",
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
        "Windows 10",
        "EDGE",
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Linux", "FIREFOX"),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        "iOS",
        "SAFARI",
    ),
];

impl Client {
    /// What a person always uses.
    pub(crate) fn of(person: &Person) -> Self {
        let (agent, os, browser) = AGENTS[(person.index % 4) as usize];
        Client { ip: person.ip.clone(), place: person.place, agent, os, browser, proxy: false }
    }

    /// An attacker's machine.
    pub(crate) fn attacker(ip: &str, place: Place) -> Self {
        let (agent, os, browser) = AGENTS[2];
        Client { ip: ip.to_owned(), place, agent, os, browser, proxy: true }
    }
}

pub(crate) fn user(person: &Person) -> Value {
    json!({"id": person.okta_id, "type": "User", "alternateId": person.email,
           "displayName": person.name, "detailEntry": null})
}

pub(crate) fn other(kind: &str, id: &str, name: &str) -> Value {
    json!({"id": id, "type": kind, "alternateId": name, "displayName": name, "detailEntry": null})
}

pub(crate) fn session(random: &mut Random) -> String {
    let alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    format!("102{}", random.text(alphabet, 22))
}

/// One LogEvent.
pub(crate) fn line(
    random: &mut Random,
    time_ms: i64,
    actor: &Person,
    client: &Client,
    event: Event<'_>,
) -> Line {
    let place = &client.place;
    let geo = json!({"city": place.city, "state": place.state, "country": place.country,
                     "postalCode": place.postal,
                     "geolocation": {"lat": place.lat, "lon": place.lon}});
    let request_id = random.hex(32);
    let mut debug = Map::new();
    debug.insert("requestId".into(), request_id.as_str().into());
    debug.insert("dtHash".into(), random.hex(64).into());
    debug.insert("requestUri".into(), "/idp/idx/identify".into());
    debug.insert("threatSuspected".into(), "false".into());
    debug.insert("url".into(), "/idp/idx/identify?".into());
    for (key, value) in event.debug {
        debug.insert((*key).into(), (*value).into());
    }
    let version = if client.ip.contains(':') { "V6" } else { "V4" };
    let severity = if matches!(event.outcome, "SUCCESS" | "ALLOW") { "INFO" } else { "WARN" };
    let record = json!({
        "actor": user(actor),
        "client": {
            "userAgent": {"rawUserAgent": client.agent, "os": client.os, "browser": client.browser},
            "zone": "null",
            "device": if client.os == "iOS" { "Mobile" } else { "Computer" },
            "id": null,
            "ipAddress": client.ip,
            "geographicalContext": geo,
        },
        "device": null,
        "authenticationContext": {
            "authenticationProvider": null, "credentialProvider": null, "credentialType": null,
            "issuer": null, "interface": null, "authenticationStep": 0,
            "rootSessionId": event.session, "externalSessionId": event.session,
        },
        "displayMessage": event.message,
        "eventType": event.kind,
        "outcome": {"result": event.outcome, "reason": event.reason},
        "published": civil(time_ms).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "securityContext": {
            "asNumber": place.asn, "asOrg": place.provider, "isp": place.provider,
            "domain": ".", "isProxy": client.proxy,
        },
        "severity": severity,
        "debugContext": {"debugData": debug},
        "legacyEventType": legacy(event.kind),
        "transaction": {"type": "WEB", "id": request_id, "detail": {}},
        "uuid": random.uuid(),
        "version": "0",
        "request": {"ipChain": [{"ip": client.ip, "geographicalContext": geo, "version": version,
                                 "source": null}]},
        "target": event.target,
    });
    Line { source: SOURCE, time_ms, text: record.to_string() }
}

fn legacy(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "user.session.start" => "core.user_auth.login_success",
        "user.session.end" => "core.user_auth.logout_success",
        "user.authentication.auth_via_mfa" => "core.user.factor.attempt_success",
        "user.authentication.sso" => "app.auth.sso",
        "user.mfa.factor.activate" => "core.user.factor.activate",
        "user.account.privilege.grant" => "core.user.admin_privilege.granted",
        _ => return None,
    })
}

/// A person signs in as ever: a push that is accepted, a second later the session.
pub(crate) fn usual_sign_in(random: &mut Random, time_ms: i64, person: &Person) -> Vec<Line> {
    let client = Client::of(person);
    let session = session(random);
    let event = |kind, message, target| Event {
        kind,
        message,
        outcome: "SUCCESS",
        reason: None,
        session: session.as_str(),
        target,
        debug: &[],
    };
    let push = event(
        "user.authentication.auth_via_mfa",
        "Authentication of user via MFA",
        vec![user(person)],
    );
    let push = Event { debug: &[("factor", "OKTA_VERIFY_PUSH")], ..push };
    let start = event("user.session.start", "User login to Okta", vec![]);
    [push, start]
        .into_iter()
        .zip([0, 1_000])
        .map(|(event, after)| line(random, time_ms + after, person, &client, event))
        .collect()
}

/// Something a person does on an ordinary day.
pub(crate) fn benign(random: &mut Random, time_ms: i64, people: u64) -> Line {
    let person = Person::new(random.skewed(people.min(PEOPLE)));
    let client = Client::of(&person);
    let session = session(random);
    let session = session.as_str();
    let apps = ["Payroll", "Wiki", "Mail", "Tickets", "Source Code", "Calendar"];
    let app = random.below(apps.len() as u64) as usize;
    let target = vec![other("AppInstance", &format!("0oa{app:017}"), apps[app])];
    let policy = vec![other("PolicyEntity", "00p10000000000000001", "Everyone")];
    let event = |kind, message, outcome, reason, target| Event {
        kind,
        message,
        outcome,
        reason,
        session,
        target,
        debug: &[],
    };
    let event = match random.below(1_000) {
        0..=419 => {
            event("user.authentication.sso", "User single sign on to app", "SUCCESS", None, target)
        }
        420..=639 => event(
            "policy.evaluate_sign_on",
            "Evaluation of sign-on policy",
            "ALLOW",
            Some("Sign-on policy evaluation resulted in ALLOW"),
            policy,
        ),
        640..=789 => event("user.session.start", "User login to Okta", "SUCCESS", None, vec![]),
        790..=889 => Event {
            debug: &[("factor", "OKTA_VERIFY_PUSH")],
            ..event(
                "user.authentication.auth_via_mfa",
                "Authentication of user via MFA",
                "SUCCESS",
                None,
                vec![user(&person)],
            )
        },
        890..=979 => event("user.session.end", "User logout from Okta", "SUCCESS", None, vec![]),
        980..=987 => event(
            "user.session.start",
            "User login to Okta",
            "FAILURE",
            Some("INVALID_CREDENTIALS"),
            vec![],
        ),
        988..=993 => event(
            "user.account.update_password",
            "User update password for Okta",
            "SUCCESS",
            None,
            vec![user(&person)],
        ),
        _ => event(
            "group.user_membership.add",
            "Add user to group membership",
            "SUCCESS",
            None,
            vec![user(&person), other("UserGroup", "00g10000000000000001", "Wiki readers")],
        ),
    };
    line(random, time_ms, &person, &client, event)
}

//! Okta: an account taken over by push fatigue, 90 minutes.
//!
//! | minute | what |
//! |---|---|
//! | 3:00 and 8:00 | hana.haas@example.com signs in from home with a push: 203.0.113.2, Lyon, France |
//! | 20:00-25:45 | password spray: 24 users once each, every 15 s, from 192.0.2.45, Moldova; all fail |
//! | 45:00-49:40 | 8 pushes to hana.haas, every 40 s, from 192.0.2.44, Moldova, behind a proxy; each denied 12 s later (45:12-49:52) |
//! | 51:00-51:16 | a ninth push is accepted at 51:15, a session starts at 51:16, same address |
//! | 52:30 | the session opens the Okta Admin Console |
//! | 56:00 | it enrols a new factor (Okta Verify) for hana.haas |
//! | 62:00 | it grants Super administrator to nils.novak@example.com, who did nothing |
//! | 64:00 | it creates the API token `backup-sync` |
//!
//! In the background about 1 in 125 events is one wrong password, and no push is denied.

use super::Stage;
use crate::{
    okta::{self, Client, Event},
    world::{ELSEWHERE, Person},
};

/// Who is taken over, by index.
pub(crate) const VICTIM: u64 = 7;
const PROMOTED: u64 = 13;

pub(super) fn play(stage: &mut Stage) {
    let (victim, promoted) = (Person::new(VICTIM), Person::new(PROMOTED));
    stage.background(okta::SOURCE, 2_400, &[&victim.email, &promoted.email]);
    let home = Client::of(&victim);
    for minute in [3, 8] {
        sign_in(stage, &victim, &home, minute, 0);
    }

    let sprayer = Client::attacker("192.0.2.45", ELSEWHERE);
    for n in 0..24 {
        let person = Person::new(20 + n * 3);
        let event = Event { outcome: "FAILURE", reason: Some("INVALID_CREDENTIALS"), ..LOGIN };
        put(stage, 20, n as i64 * 15, &person, &sprayer, event);
    }

    let attacker = Client::attacker("192.0.2.44", ELSEWHERE);
    for n in 0..8 {
        put(
            stage,
            45,
            n * 40,
            &victim,
            &attacker,
            Event { target: vec![okta::user(&victim)], ..PUSH },
        );
        let denied = Event {
            kind: "user.mfa.okta_verify.deny_push",
            message: "User rejected Okta push verify",
            target: vec![okta::user(&victim)],
            ..PUSH
        };
        put(stage, 45, n * 40 + 12, &victim, &attacker, denied);
    }
    put(stage, 51, 0, &victim, &attacker, Event { target: vec![okta::user(&victim)], ..PUSH });
    let session = sign_in(stage, &victim, &attacker, 51, 15);
    let within = |kind, message, target, debug| Event {
        kind,
        message,
        session: session.as_str(),
        target,
        debug,
        ..LOGIN
    };
    let console = vec![okta::other("AppInstance", "0oa00000000000000099", "Okta Admin Console")];
    let event =
        within("user.session.access_admin_app", "User accessing Okta admin app", console, &[]);
    put(stage, 52, 30, &victim, &attacker, event);
    let event = within(
        "user.mfa.factor.activate",
        "Activate factor for user",
        vec![okta::user(&victim)],
        &[("factor", "OKTA_VERIFY_PUSH")],
    );
    put(stage, 56, 0, &victim, &attacker, event);
    let event = within(
        "user.account.privilege.grant",
        "Grant user privilege",
        vec![okta::user(&promoted)],
        &[("privilegeGranted", "Super administrator")],
    );
    put(stage, 62, 0, &victim, &attacker, event);
    let token = vec![okta::other("Token", "00T00000000000000001", "backup-sync")];
    let event = within("system.api_token.create", "Create API token", token, &[]);
    put(stage, 64, 0, &victim, &attacker, event);
}

const LOGIN: Event<'static> = Event {
    kind: "user.session.start",
    message: "User login to Okta",
    outcome: "SUCCESS",
    reason: None,
    session: "unknown",
    target: vec![],
    debug: &[],
};

const PUSH: Event<'static> = Event {
    kind: "system.push.send_factor_verify_push",
    message: "Send push notification for verification",
    outcome: "SUCCESS",
    reason: None,
    session: "unknown",
    target: vec![],
    debug: &[("factor", "OKTA_VERIFY_PUSH")],
};

/// A push that is accepted, and the session it opens one second later.
fn sign_in(stage: &mut Stage, who: &Person, client: &Client, minute: i64, second: i64) -> String {
    let session = okta::session(&mut stage.random);
    let mfa = Event {
        kind: "user.authentication.auth_via_mfa",
        message: "Authentication of user via MFA",
        session: &session,
        target: vec![okta::user(who)],
        ..PUSH
    };
    put(stage, minute, second, who, client, mfa);
    put(stage, minute, second + 1, who, client, Event { session: &session, ..LOGIN });
    session
}

fn put(
    stage: &mut Stage,
    minute: i64,
    second: i64,
    who: &Person,
    client: &Client,
    event: Event<'_>,
) {
    let time = stage.at(minute, second);
    let line = okta::line(&mut stage.random, time, who, client, event);
    stage.add(line);
}

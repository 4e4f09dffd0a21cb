//! Webhooks and transmitters that cannot be meant, and what is said of them.

use super::read;

/// Some problem of a text says this, in its words or in its help.
#[track_caller]
fn refused(text: &str, wanted: &str) {
    let problems = read(text).problems;
    let told = problems.iter().any(|p| {
        let d = &p.diagnostic;
        let texts = [Some(&d.primary), d.detail.as_ref(), d.hint.as_ref()];
        texts.into_iter().flatten().any(|text| text.contains(wanted))
    });
    assert!(told, "{text}\n{wanted}\n{problems:#?}");
}

#[test]
fn a_wrong_webhook_is_refused_with_what_to_write() {
    for (table, wanted) in [
        ("url = \"https://h.example.com/\"", "nothing signs its messages"),
        ("secrets = [\"${env:S}\"]", "it does not say where to post"),
        ("url = \"https://127.0.0.1/\"\nsecrets = [\"${env:S}\"]", "private, loopback"),
        ("url = \"http://h.example.com/\"\nsecrets = [\"${env:S}\"]", "without TLS"),
        ("url = \"https://0x7f000001/\"\nsecrets = [\"${env:S}\"]", "its host is a number"),
        ("url = \"file:///etc/passwd\"\ntemplate = \"pagerduty\"", "needs it"),
        ("url = \"https://h.example.com/\"\nsecrets = [\"whsec_abc\"]", "must not be in the"),
        ("url = \"https://h.example.com/\"\ntemplate = \"slack\"", "it is a secret"),
        ("url = \"https://h.example.com/\"\ntemplate = \"slak\"", "did you mean `slack`"),
        ("url = \"${env:U}\"\ntemplate = \"teams\"\nproject = \"X\"", "does not use it"),
        (
            "url = \"${env:U}\"\ntemplate = \"teams\"\nevents = [\"finding.open\"]",
            "`finding.opened`",
        ),
        (
            "url = \"${env:U}\"\ntemplate = \"teams\"\nmin_severity = \"hihg\"",
            "did you mean `high`",
        ),
        (
            "url = \"${env:U}\"\ntemplate = \"teams\"\nevents = [\"incident.closed\"]",
            "is sent only after `incident.opened`",
        ),
        ("url = \"${env:U}\"\ntemplate = \"teams\"\nlevel = \"high\"", "no setting"),
    ] {
        let text = format!("[sources.push]\nhttp = {{}}\n[webhooks.soc]\n{table}\n");
        refused(&text, wanted);
    }
}

#[test]
fn a_wrong_transmitter_is_refused_with_what_to_write() {
    let issuer = "issuer = \"https://idp.example.com\"";
    let audience = "audience = [\"a\"]";
    for (mapping, ssf, wanted) in [
        ("okta.system", format!("{issuer}\n{audience}"), "does not read security event tokens"),
        ("ssf.set", audience.to_owned(), "who issues the tokens"),
        ("ssf.set", issuer.to_owned(), "whom the tokens are for"),
        (
            "ssf.set",
            format!("{issuer}\n{audience}\njwks_url = \"http://10.0.0.1/\""),
            "nothing is asked",
        ),
        (
            "ssf.set",
            format!("{issuer}\n{audience}\nauthorization = \"Bearer x\""),
            "must not be in the",
        ),
        (
            "ssf.set",
            format!("{issuer}\n{audience}\npoll_authorization = \"${{env:X}}\""),
            "no `poll_url`",
        ),
        ("ssf.set", format!("{issuer}\n{audience}\nisuer = \"x\""), "no setting"),
    ] {
        let text = format!("[sources.idp]\nmapping = \"{mapping}\"\n[sources.idp.ssf]\n{ssf}\n");
        refused(&text, wanted);
    }
    let own = format!(
        "[signals]\nissuer = \"https://idp.example.com\"\nsigning_keys = [\"${{env:K}}\"]\n\
         [sources.idp]\nmapping = \"ssf.set\"\n[sources.idp.ssf]\n{issuer}\n{audience}\n"
    );
    refused(&own, "these would be our own signals");
}

#[test]
fn q3_q7_q8_feeds_and_listeners_that_cannot_be_are_refused() {
    for (more, wanted) in [
        ("[signals.decisions]\ngrpc_listen = \"0.0.0.0:7778\"", "gRPC there is not encrypted"),
        ("[signals.opa.x]\nurl = \"ftp://opa/v1/data\"", "no URL of a document"),
        ("[signals.opa.x]\nurl = \"https://o.example.com/v1\"\nresync = \"0s\"", "no time between"),
        ("[signals.opa.x]\nauthorization = \"Bearer x\"", "must not be in the"),
        ("[signals.kafka]\nbrokers = \"k:9092\"\ntopic = \"a b\"", "cannot be the name of a topic"),
        (
            "[signals.kafka]\nbrokers = \"k:9092\"\nlibrdkafka = { acks = \"1\" }",
            "`acks` cannot be set here",
        ),
        ("[signals.kafka]\ntopic = \"t\"", "brokers"),
        ("[signals.kafka]\nbrokers = \"k:9092\"\ntopics = [\"t\"]", "no setting"),
    ] {
        let text = format!(
            "[sources.push]\nhttp = {{}}\n[signals]\nissuer = \"https://s.example.com\"\n\
             signing_keys = [\"${{env:K}}\"]\n{more}\n"
        );
        refused(&text, wanted);
    }
}

//! Envoy's external authorization over gRPC, asked by a client made of Envoy's own messages.

use std::collections::HashMap;

use envoy_types::pb::envoy::{
    config::core::v3::{HeaderMap, HeaderValue},
    service::auth::v3::{
        AttributeContext, CheckRequest, CheckResponse,
        attribute_context::{HttpRequest, Request as Asked},
        authorization_client::AuthorizationClient,
        check_response::HttpResponse,
    },
};
use tonic::{Code, Request, Status, transport::Channel};

use super::*;

/// How headers of the client's request are given.
#[derive(Clone, Copy)]
enum Headers {
    Map,
    /// `encode_raw_headers` of the filter.
    Raw,
}

struct Gateway {
    runtime: tokio::runtime::Runtime,
    client: AuthorizationClient<Channel>,
}

impl Gateway {
    fn of(service: &Service) -> Gateway {
        let said = service.said();
        let url = said.lines().find_map(|l| l.strip_prefix("ext_authz over gRPC on ")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(AuthorizationClient::connect(url.to_owned())).unwrap();
        Gateway { runtime, client }
    }

    fn check(
        &mut self,
        token: &str,
        path: &str,
        headers: &[(&str, &str)],
        form: Headers,
    ) -> Result<CheckResponse, Status> {
        let mut http = HttpRequest { path: path.into(), ..HttpRequest::default() };
        match form {
            Headers::Map => {
                let all = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
                http.headers = all.collect::<HashMap<_, _>>();
            }
            Headers::Raw => {
                let raw = |(name, value): &(&str, &str)| HeaderValue {
                    key: (*name).to_owned(),
                    value: String::new(),
                    raw_value: value.as_bytes().to_vec(),
                };
                http.header_map = Some(HeaderMap { headers: headers.iter().map(raw).collect() });
            }
        }
        let asked = Asked { time: None, http: Some(http) };
        let attributes = AttributeContext { request: Some(asked), ..AttributeContext::default() };
        let mut request = Request::new(CheckRequest { attributes: Some(attributes) });
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        self.runtime.block_on(self.client.check(request)).map(tonic::Response::into_inner)
    }
}

/// What the client gets, the headers that are set, and those that are taken away.
fn told(response: &CheckResponse) -> (u16, BTreeMap<String, String>, Vec<String>) {
    let set = |headers: &[envoy_types::pb::envoy::config::core::v3::HeaderValueOption]| {
        let all = headers.iter().filter_map(|h| h.header.clone()).map(|h| (h.key, h.value));
        all.collect::<BTreeMap<_, _>>()
    };
    let code = response.status.as_ref().unwrap().code;
    match response.http_response.as_ref().unwrap() {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, Code::Ok as i32);
            (200, set(&ok.headers), ok.headers_to_remove.clone())
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_eq!(code, Code::PermissionDenied as i32);
            let status = denied.status.as_ref().unwrap().code;
            (u16::try_from(status).unwrap(), set(&denied.headers), Vec::new())
        }
        HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
    }
}

fn said(response: &CheckResponse, name: &str) -> Option<String> {
    use envoy_types::pb::google::protobuf::value::Kind;
    match response.dynamic_metadata.as_ref()?.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

const LISTEN: &str =
    "[signals.decisions]\ngrpc_listen = \"127.0.0.1:0\"\nacr_values = \"urn:mfa\"\n";

#[test]
fn q3_grpc_decides_as_http_does_in_both_forms_of_headers() {
    let receiver = Receiver::start();
    let home = home(&receiver, LISTEN);
    let service = home.start();
    let token = service.token.clone();
    let mut gateway = Gateway::of(&service);
    raise(&service, "high@example.com", "high");
    raise(&service, "med@example.com", "medium");
    let body = json!({"reason": "ransomware", "expires_in": "1h"}).to_string();
    let path = "/api/v1/risk/user/apart@example.com/quarantine";
    service.ask("PUT", path, "application/json", &body).is(200);

    for form in [Headers::Map, Headers::Raw] {
        for (user, expected) in [
            ("low@example.com", 200),
            ("med@example.com", 401),
            ("High@Example.com", 403),
            ("apart@example.com", 403),
        ] {
            let over_http = service.gate("/ext_authz/app?x=1", user).status;
            let answer = gateway.check(&token, "/app?x=1", &[("x-user", user)], form).unwrap();
            let (status, headers, removed) = told(&answer);
            assert_eq!((status, over_http), (expected, expected), "{user}");
            let level = headers["x-risk-level"].clone();
            assert_eq!(said(&answer, "risk_level"), Some(level), "{user}");
            assert_eq!(said(&answer, "risk_reason"), headers.get("x-risk-reason").cloned());
            if status == 200 {
                // Nothing of ours that the client claimed gets through.
                assert!(removed.contains(&"x-risk-score".to_owned()), "{removed:?}");
            }
            if user.starts_with("med") {
                let challenge = &headers["www-authenticate"];
                assert!(challenge.contains("acr_values=\"urn:mfa\""), "{challenge}");
            }
            if user.starts_with("apart") {
                assert_eq!(headers["x-risk-reason"], "user is quarantined");
                assert!(said(&answer, "quarantined_until").is_some());
            }
        }
    }
    // Named twice, judged twice.
    let twice = [("x-user", "low@example.com"), ("x-user", "high@example.com")];
    assert_eq!(told(&gateway.check(&token, "/", &twice, Headers::Raw).unwrap()).0, 403);
    // Without a path the strictest rule counts.
    let answer = gateway.check(&token, "", &[("x-user", "high@example.com")], Headers::Map);
    assert_eq!(told(&answer.unwrap()).0, 403);
    service.stop();
}

#[test]
fn q3_grpc_lets_only_gateways_ask() {
    let receiver = Receiver::start();
    let home = home(&receiver, LISTEN);
    let sender = home.token("ingest");
    let service = home.start();
    let mut gateway = Gateway::of(&service);
    for (token, code) in [
        ("", Code::Unauthenticated),
        ("slc_wrong", Code::Unauthenticated),
        (sender.as_str(), Code::PermissionDenied),
    ] {
        let refused = gateway.check(token, "/", &[], Headers::Map).unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    // Longer than any head of a request.
    let long = "x".repeat(1 << 20);
    let token = service.token.clone();
    let refused = gateway.check(&token, "/", &[("x-user", &long)], Headers::Map).unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    // HTTP/1 is not spoken there, and the listener goes with the server.
    let begun = gateway.check(&token, "/", &[("x-user", "a")], Headers::Map);
    assert_eq!(told(&begun.unwrap()).0, 200);
    service.stop();
    assert!(gateway.check(&token, "/", &[], Headers::Map).is_err());
}

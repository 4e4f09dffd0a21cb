/*---
id: ssf.set.detection
title: "Shared Signals: levels of risk and everything else that other transmitters report"
source: ssf.set
to: detection
class: 2004
codec: json
detect: {has: [set_id, transmitter, event_uri]}
columns:
  set_id: string
  transmitter: string
  issuer: string
  jti: string
  txn: string
  time: timestamp
  event_type: string
  event_uri: string
  reason: string
  user_email: string
  user_id: string
  device_id: string
  session_id: string
  tenant_id: string
  ip: string
  event: {initiating_entity: string, current_level: string, previous_level: string, risk_reason: string}
  subject: json
time: time
native_id: set_id
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: >-
  true
priority: 90
vendor: OpenID
product: Shared Signals
references: ["https://openid.net/specs/openid-caep-1_0-final.html", "https://openid.net/specs/openid-risc-1_0-final.html"]
---*/
SELECT time,
       'Create' AS activity,
       -- Evidence with a weight that rules give it; a level of another is never one of ours.
       CASE upper(event.current_level) WHEN 'HIGH' THEN 4 WHEN 'MEDIUM' THEN 3 WHEN 'LOW' THEN 2 END AS severity_id,
       event_type AS rule_name,
       event_uri AS rule_uid,
       event.risk_reason AS status_detail,
       event_type AS event_code,
       set_id AS native_uid,
       reason AS message,
       user_email,
       user_id AS user_uid,
       device_id AS device_uid,
       session_id AS session_uid,
       issuer AS session_issuer,
       ip AS src_ip,
       transmitter AS actor_app_name,
       txn AS "unmapped.txn",
       tenant_id AS "unmapped.tenant"
FROM ssf_set
/*--- tests
- name: a risk that another transmitter sees
  raw: '{"set_id":"00000000000000000000000000000008","transmitter":"idp","issuer":"https://idp.example.com","jti":"j8","time":"2026-01-01T09:00:00.000Z","event_type":"risk-level-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/risk-level-change","reason":null,"event":{"principal":"USER","current_level":"HIGH","previous_level":"LOW","risk_reason":"impossible travel"},"subject":{"format":"email","email":"ann@example.com"},"user_email":"ann@example.com"}'
  expect:
    - {table: detection, rule_name: risk-level-change, severity_id: 4, status_detail: impossible travel, user_email: ann@example.com}
- name: a type that is not known here
  raw: '{"set_id":"00000000000000000000000000000009","transmitter":"idp","issuer":"https://idp.example.com","jti":"j9","time":"2026-01-01T09:00:00.000Z","event_type":"token-claims-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/token-claims-change","reason":null,"event":{"claims":{"role":"admin"}},"subject":{"format":"email","email":"ann@example.com"},"user_email":"ann@example.com"}'
  expect:
    - {table: detection, rule_name: token-claims-change, severity_id: null, user_email: ann@example.com}
- name: a level that is not listed is no severity
  raw: '{"set_id":"0000000000000000000000000000000a","transmitter":"idp","issuer":"https://idp.example.com","jti":"j10","time":"2026-01-01T09:00:00.000Z","event_type":"risk-level-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/risk-level-change","reason":null,"event":{"principal":"DEVICE","current_level":"SEVERE"},"subject":{"format":"opaque","id":"d7"},"device_id":"d7"}'
  expect:
    - {table: detection, rule_name: risk-level-change, severity_id: null, device_uid: d7, user_email: null}
---*/

/*---
id: ssf.set.authentication
title: "Shared Signals: sessions that other transmitters saw begin, used or revoked"
source: ssf.set
to: authentication
class: 3002
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
  event: {initiating_entity: string, fp_ua: string, acr: string}
  subject: json
time: time
native_id: set_id
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: >-
  event_type IN ('session-revoked', 'session-established', 'session-presented', 'sessions-revoked')
priority: 10
vendor: OpenID
product: Shared Signals
references: ["https://openid.net/specs/openid-caep-1_0-final.html", "https://openid.net/specs/openid-risc-1_0-final.html"]
---*/
SELECT time,
       CASE WHEN event_type LIKE 'session%-revoked' THEN 'Logoff' WHEN event_type = 'session-established' THEN 'Logon' ELSE 'Other' END AS activity,
       -- A token says what has happened (RFC 8417); without its id there was none.
       CASE WHEN jti IS NOT NULL THEN 'Success' END AS status,
       event.initiating_entity AS status_detail,
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
- name: a session that a policy ended
  raw: '{"set_id":"00000000000000000000000000000001","transmitter":"idp","issuer":"https://idp.example.com","jti":"j1","time":"2026-01-01T09:00:00.000Z","event_type":"session-revoked","event_uri":"https://schemas.openid.net/secevent/caep/event-type/session-revoked","reason":"left the company","event":{"event_timestamp":1767258000,"initiating_entity":"policy"},"subject":{"format":"email","email":"ann@example.com"},"session_id":"s1","user_email":"ann@example.com"}'
  expect:
    - {table: authentication, activity: Logoff, status: Success, user_email: ann@example.com, session_uid: s1, event_code: session-revoked, message: left the company, status_detail: policy, actor_app_name: idp, session_issuer: "https://idp.example.com"}
- name: a session that began
  raw: '{"set_id":"00000000000000000000000000000002","transmitter":"idp","issuer":"https://idp.example.com","jti":"j2","time":"2026-01-01T09:00:00.000Z","event_type":"session-established","event_uri":"https://schemas.openid.net/secevent/caep/event-type/session-established","reason":null,"event":{"event_timestamp":1767258000},"subject":{"format":"email","email":"ann@example.com"},"user_id":"u1","ip":"203.0.113.9"}'
  expect:
    - {table: authentication, activity: Logon, user_uid: u1, src_ip: 203.0.113.9, user_email: null}
- name: a session that was used, told without a user or an address
  raw: '{"set_id":"00000000000000000000000000000003","transmitter":"idp","issuer":"https://idp.example.com","jti":"j3","time":"2026-01-01T09:00:00.000Z","event_type":"session-presented","event_uri":"https://schemas.openid.net/secevent/caep/event-type/session-presented","reason":null,"event":{"event_timestamp":1767258000},"subject":{"format":"opaque","id":"s9"},"session_id":"s9"}'
  expect:
    - {table: authentication, activity: Other, session_uid: s9, user_email: null, user_uid: null, src_ip: null}
---*/

/*---
id: ssf.set.device_state
title: "Shared Signals: devices that other transmitters saw become compliant or not"
source: ssf.set
to: device_state
class: 5019
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
  event: {initiating_entity: string, current_status: string, previous_status: string}
  subject: json
time: time
native_id: set_id
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: >-
  event_type = 'device-compliance-change'
priority: 10
vendor: OpenID
product: Shared Signals
references: ["https://openid.net/specs/openid-caep-1_0-final.html", "https://openid.net/specs/openid-risc-1_0-final.html"]
---*/
SELECT time,
       'Log' AS activity,
       -- A token says what has happened (RFC 8417); without its id there was none.
       CASE WHEN jti IS NOT NULL THEN 'Success' END AS status,
       event.initiating_entity AS status_detail,
       event.current_status AS compliance_state,
       CASE event.current_status WHEN 'compliant' THEN true WHEN 'not-compliant' THEN false END AS device_is_compliant,
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
- name: a device that is compliant no longer
  raw: '{"set_id":"00000000000000000000000000000006","transmitter":"idp","issuer":"https://idp.example.com","jti":"j6","time":"2026-01-01T09:00:00.000Z","event_type":"device-compliance-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/device-compliance-change","reason":null,"event":{"current_status":"not-compliant","previous_status":"compliant","initiating_entity":"policy"},"subject":{"format":"email","email":"ann@example.com"},"device_id":"d1"}'
  expect:
    - {table: device_state, device_uid: d1, compliance_state: not-compliant, device_is_compliant: false}
- name: a state that is none of both says nothing of compliance
  raw: '{"set_id":"00000000000000000000000000000007","transmitter":"idp","issuer":"https://idp.example.com","jti":"j7","time":"2026-01-01T09:00:00.000Z","event_type":"device-compliance-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/device-compliance-change","reason":null,"event":{"current_status":"unknown"},"subject":{"format":"email","email":"ann@example.com"},"device_id":"d1"}'
  expect:
    - {table: device_state, compliance_state: unknown, device_is_compliant: null}
- name: a device that is compliant again
  raw: '{"set_id":"00000000000000000000000000000008","transmitter":"idp","issuer":"https://idp.example.com","jti":"j8","time":"2026-01-01T09:00:00.000Z","event_type":"device-compliance-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/device-compliance-change","reason":"disk encrypted","event":{"current_status":"compliant","previous_status":"not-compliant"},"subject":{"format":"email","email":"ann@example.com"},"device_id":"d1"}'
  expect:
    - {table: device_state, device_uid: d1, compliance_state: compliant, device_is_compliant: true}
---*/

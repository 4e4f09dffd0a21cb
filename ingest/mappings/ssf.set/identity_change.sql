/*---
id: ssf.set.identity_change
title: "Shared Signals: credentials and accounts that other transmitters saw change"
source: ssf.set
to: identity_change
class: 3001
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
  event: {initiating_entity: string, credential_type: string, change_type: string, friendly_name: string}
  subject: json
time: time
native_id: set_id
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: >-
  event_type IN ('credential-change', 'account-disabled', 'account-enabled', 'account-purged')
priority: 10
vendor: OpenID
product: Shared Signals
references: ["https://openid.net/specs/openid-caep-1_0-final.html", "https://openid.net/specs/openid-risc-1_0-final.html"]
---*/
SELECT time,
       CASE
         WHEN event_type = 'account-disabled' THEN 'disabled'
         WHEN event_type = 'account-enabled' THEN 'enabled'
         WHEN event_type = 'account-purged' THEN 'user_deleted'
         WHEN event.credential_type IN ('password', 'pin') AND event.change_type IN ('create', 'update') THEN 'password_changed'
         WHEN event.credential_type IN ('password', 'pin') THEN 'password_reset'
         WHEN event.credential_type = 'x509' AND event.change_type IN ('create', 'update') THEN 'key_created'
         WHEN event.credential_type = 'x509' THEN 'key_deleted'
         WHEN event.change_type = 'create' THEN 'mfa_added'
         WHEN event.change_type IN ('revoke', 'delete') THEN 'mfa_removed'
       END AS change,
       CASE
         WHEN event_type = 'account-disabled' THEN 'Disable'
         WHEN event_type = 'account-enabled' THEN 'Enable'
         WHEN event_type = 'account-purged' THEN 'Delete'
         WHEN event.credential_type IN ('password', 'pin') AND event.change_type IN ('create', 'update') THEN 'Password Change'
         WHEN event.credential_type IN ('password', 'pin') THEN 'Password Reset'
         WHEN event.credential_type = 'x509' THEN 'Other'
         WHEN event.change_type = 'create' THEN 'MFA Factor Enable'
         WHEN event.change_type IN ('revoke', 'delete') THEN 'MFA Factor Disable'
         ELSE 'Other'
       END AS activity,
       -- A token says what has happened (RFC 8417); without its id there was none.
       CASE WHEN jti IS NOT NULL THEN 'Success' END AS status,
       event.initiating_entity AS status_detail,
       event.friendly_name AS new_value,
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
- name: a passkey that was added
  raw: '{"set_id":"00000000000000000000000000000003","transmitter":"idp","issuer":"https://idp.example.com","jti":"j3","time":"2026-01-01T09:00:00.000Z","event_type":"credential-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/credential-change","reason":null,"event":{"event_timestamp":1767258000,"credential_type":"fido2-platform","change_type":"create","friendly_name":"Laptop of Ann","initiating_entity":"user"},"subject":{"format":"email","email":"ann@example.com"},"user_email":"ann@example.com"}'
  expect:
    - {table: identity_change, change: mfa_added, activity: MFA Factor Enable, user_email: ann@example.com, new_value: Laptop of Ann, status_detail: user}
- name: a password that was changed
  raw: '{"set_id":"00000000000000000000000000000004","transmitter":"idp","issuer":"https://idp.example.com","jti":"j4","time":"2026-01-01T09:00:00.000Z","event_type":"credential-change","event_uri":"https://schemas.openid.net/secevent/caep/event-type/credential-change","reason":null,"event":{"credential_type":"password","change_type":"update"},"subject":{"format":"email","email":"ann@example.com"},"user_email":"ann@example.com"}'
  expect:
    - {table: identity_change, change: password_changed, activity: Password Change}
- name: an account that was disabled
  raw: '{"set_id":"00000000000000000000000000000005","transmitter":"idp","issuer":"https://idp.example.com","jti":"j5","time":"2026-01-01T09:00:00.000Z","event_type":"account-disabled","event_uri":"https://schemas.openid.net/secevent/risc/event-type/account-disabled","reason":null,"event":{"reason":"hijacking"},"subject":{"format":"email","email":"ann@example.com"},"user_email":"ann@example.com"}'
  expect:
    - {table: identity_change, change: disabled, activity: Disable, user_email: ann@example.com}
---*/

/*---
id: cloud.access_key_first_seen_address
title: Long-lived access key used from a new address
severity: medium
status: experimental          # shadow: every entity is new once, so let it run through its interval first
description: A long-lived access key was used from an address it was not used from during the last fourteen days. Leaked keys show up here first.
attack: [TA0001, T1078.004]
entity: {user_entity: user, src_ip: ip}
risk: 15
suppression: {by: [access_key], for: 24h}
false_positives:
  - A developer on another network, a build runner with changing addresses
  - The first use of a new key
blind_spots:
  - Use through a machine that holds the key already
runbook: Ask the owner of the key. If unknown, deactivate it and list every call from the new address.
references: ["https://attack.mitre.org/techniques/T1078/004/"]
---*/
SELECT time,
       user_entity,
       session_uid AS access_key,
       src_ip,
       src_country,
       user_agent,
       api_operation,
       cloud_account_uid,
       concat('access key ', session_uid, ' of ', user_entity, ' used from ', src_ip, ' for the first time in 14 days') AS title
FROM api_activity
WHERE session_uid LIKE 'AKIA%'
  AND user_type = 'IAMUser'
  AND src_ip IS NOT NULL
  AND first_seen(INTERVAL '14 days', session_uid, src_ip)
/*--- tests
- name: a second address fires, both are new to us
  events:
    - &call {t: +0s, table: api_activity, session_uid: AKIAEXAMPLE1, user_type: IAMUser, user_entity: ann, src_ip: 203.0.113.9, api_operation: GetCallerIdentity}
    - {<<: *call, t: +1h, src_ip: 198.51.100.7}
  expect: [{src_ip: 203.0.113.9}, {src_ip: 198.51.100.7, access_key: AKIAEXAMPLE1}]
- name: temporary credentials are quiet
  events: [{<<: *call, session_uid: ASIAEXAMPLE1}]
  expect: []
- name: an address used exactly fourteen days ago is known
  events:
    - *call
    - {<<: *call, t: +14d}
  expect: [{src_ip: 203.0.113.9, time: +0s}]
- name: a late earlier call takes over as the first
  events:
    - {<<: *call, t: +5m}
    - {<<: *call, t: +6m, session_uid: AKIAEXAMPLE2}
    - {<<: *call, t: +1m}
  expect: [{access_key: AKIAEXAMPLE1, time: +1m}, {access_key: AKIAEXAMPLE2}]
---*/

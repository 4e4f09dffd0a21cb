/*---
id: identity.mfa_factor_added_first_seen_ip
title: MFA factor enrolled from a new address
severity: medium
status: stable
description: A factor was enrolled from an address from which no factor of this user was enrolled during the last thirty days. The step that makes a taken account last.
attack: [TA0003, TA0006, T1556.006, T1098.005]
entity: {user_entity: user, src_ip: ip}
risk: 15
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A new phone, enrolled at home
  - The first enrolment of a new user
blind_spots:
  - An attacker who works through a machine of the user
runbook: Look for refused pushes, a new country or a factor reset of the same user in the hours before. If there is one, treat it as a takeover.
references: ["https://attack.mitre.org/techniques/T1098/005/"]
---*/
SELECT time,
       user_entity,
       src_ip,
       src_country,
       event_code,
       concat('new MFA factor for ', user_entity, ' enrolled from ', src_ip) AS title
FROM identity_change
WHERE change = 'mfa_added'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND src_ip IS NOT NULL
  AND first_seen(INTERVAL '30 days', user_entity, src_ip)
/*--- tests
- name: an enrolment from a new address fires
  events:
    - &add {t: +0s, table: identity_change, change: mfa_added, status: Success, user_entity: ann@example.com, src_ip: 203.0.113.9}
  expect: [{user_entity: ann@example.com, src_ip: 203.0.113.9}]
- name: a second factor from the same address is quiet
  events:
    - *add
    - {<<: *add, t: +10m}
  expect: [{user_entity: ann@example.com, time: +0s}]
- name: an enrolment that failed is quiet
  events: [{<<: *add, status: Failure}]
  expect: []
- name: exactly thirty days later the address is still known
  events:
    - *add
    - {<<: *add, t: +30d}
  expect: [{user_entity: ann@example.com, time: +0s}]
- name: a late earlier enrolment takes over as the first
  events:
    - {<<: *add, t: +5m}
    - {<<: *add, t: +6m, user_entity: bob@example.com}
    - {<<: *add, t: +3m}
  expect: [{user_entity: ann@example.com, time: +3m}, {user_entity: bob@example.com}]
---*/

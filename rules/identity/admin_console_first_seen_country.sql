/*---
id: identity.admin_console_first_seen_country
title: Administration console opened from a country new for the user
severity: high
status: stable
description: A user opened the administration console of the identity provider from a country from which the user did not open it during the last fourteen days.
attack: [TA0001, TA0003, T1078.004]
entity: {user_entity: user, src_ip: ip}
risk: 30
suppression: {by: [user_entity, src_country], for: 24h}
false_positives:
  - An administrator who travels
  - The first visit of a new administrator
runbook: Ask the administrator. If it was not them, revoke the session first, then look at every change the session made.
references: ["https://attack.mitre.org/techniques/T1078/004/"]
---*/
SELECT time,
       user_entity,
       src_country,
       src_ip,
       src_as_org,
       session_uid,
       concat(user_entity, ' opened the administration console from ', src_country, ' for the first time in 14 days') AS title
FROM authentication
WHERE event_code = 'user.session.access_admin_app'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND src_country IS NOT NULL
  AND first_seen(INTERVAL '14 days', user_entity, src_country)
/*--- tests
- name: a new country fires
  events:
    - &open {t: +0s, table: authentication, event_code: user.session.access_admin_app, status: Success, user_entity: adm, src_country: Germany, src_ip: 203.0.113.9}
    - {<<: *open, t: +24h, src_country: Brazil, src_ip: 198.51.100.7}
  expect: [{user_entity: adm, src_country: Germany}, {user_entity: adm, src_country: Brazil}]
- name: another visit from the same country is quiet after the first
  events: [{<<: *open, repeat: 3, every: 24h}]
  expect: [{src_country: Germany, time: +0s}]
- name: a sign-in to something else is quiet
  events: [{<<: *open, event_code: user.authentication.sso}]
  expect: []
- name: fourteen days later to the second the country is still known
  events:
    - *open
    - {<<: *open, t: +14d}
  expect: [{time: +0s}]
- name: one second more and it is new
  events:
    - *open
    - {<<: *open, t: +1209601s}
  expect: [{time: +0s}, {time: +1209601s}]
- name: a late earlier visit takes over as the first
  events:
    - {<<: *open, t: +5m}
    - {<<: *open, t: +6m, user_entity: bob}
    - {<<: *open, t: +1m}
  expect: [{user_entity: adm, time: +1m}, {user_entity: bob}]
---*/

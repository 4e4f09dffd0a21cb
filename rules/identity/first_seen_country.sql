/*---
id: identity.first_seen_country
title: Sign-in from a country new for the user
severity: medium
status: experimental          # shadow: every entity is new once, so let it run through its interval first
description: A successful sign-in from a country the user was not seen in during the last fourteen days.
attack: [TA0001, T1078.004]
entity: {user_entity: user, src_ip: ip}
risk: 15
suppression: {by: [user_entity, src_country], for: 24h}
false_positives:
  - Travel, a new VPN exit, a mobile network that leaves the country
  - The first sign-in of a new user
blind_spots:
  - An attacker in the same country, or behind a proxy in it
runbook: Compare with travel and VPN. If neither explains it, ask the user and revoke the session.
references: ["https://attack.mitre.org/techniques/T1078/004/"]
---*/
SELECT time,
       user_entity,
       src_country,
       src_ip,
       src_as_org,
       app_name,
       concat(user_entity, ' signed in from ', src_country, ' for the first time in 14 days') AS title
FROM authentication
WHERE activity = 'Logon'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND src_country IS NOT NULL
  AND first_seen(INTERVAL '14 days', user_entity, src_country)
/*--- tests
- name: a second country fires, both are new to us
  events:
    - &login {t: +0s, table: authentication, activity: Logon, status: Success, user_entity: ann, src_country: Germany, src_ip: 203.0.113.9}
    - {<<: *login, t: +1h, src_country: Brazil, src_ip: 198.51.100.7}
  expect: [{user_entity: ann, src_country: Germany}, {user_entity: ann, src_country: Brazil, src_ip: 198.51.100.7}]
- name: the same country again is quiet after the first
  events: [{<<: *login, repeat: 3, every: 24h}]
  expect: [{user_entity: ann, src_country: Germany}]
- name: a country seen exactly fourteen days ago is known
  events:
    - *login
    - {<<: *login, t: +14d}
  expect: [{src_country: Germany}]
- name: one second more and it is new again
  events:
    - *login
    - {<<: *login, t: +1209601s}
  expect: [{src_country: Germany}, {src_country: Germany}]
- name: a failed sign-in is quiet and teaches nothing
  events: [{<<: *login, status: Failure}]
  expect: []
- name: a late earlier sign-in takes over as the first
  events:
    - {<<: *login, t: +5m}
    - {<<: *login, t: +6m, user_entity: bob}
    - {<<: *login, t: +2m}
  expect: [{user_entity: ann, time: +2m}, {user_entity: bob}]
---*/

/*---
id: endpoint.ssh_first_seen_source
title: SSH sign-in from an internal host new for the user
severity: medium
status: stable
description: A user signed in over SSH from an internal address from which the user was not seen during the last fourteen days. Lateral movement with valid credentials leaves nothing else.
attack: [TA0008, TA0001, T1021.004, T1078]
entity: {user_entity: user, src_ip: ip, device_entity: device}
risk: 15
suppression: {by: [user_entity, src_ip], for: 24h}
false_positives:
  - A user with a new machine or a new task
  - Addresses that change by DHCP
blind_spots:
  - An attacker on the user's own machine
runbook: Ask the user whether the hop was theirs. Look for refused connections of the same address.
references: ["https://attack.mitre.org/techniques/T1021/004/"]
---*/
SELECT time,
       user_entity,
       src_ip,
       device_entity,
       json_get_str(unmapped, 'auth_method') AS method,
       concat(user_entity, ' signed in to ', device_entity, ' from ', src_ip, ' for the first time in 14 days') AS title
FROM authentication
WHERE source = 'linux.sshd'
  AND event_code = 'accepted'
  AND src_is_private IS TRUE
  AND user_entity IS NOT NULL
  AND first_seen(INTERVAL '14 days', user_entity, src_ip)
/*--- tests
- name: a second internal source fires, both are new to us
  events:
    - &login {t: +0s, table: authentication, source: linux.sshd, event_code: accepted, status: Success, user_entity: ann, src_ip: 10.0.9.1, src_is_private: true, device_entity: web-1}
    - {<<: *login, t: +1h, src_ip: 10.0.1.5}
  expect: [{src_ip: 10.0.9.1}, {src_ip: 10.0.1.5, user_entity: ann}]
- name: another host from the same source is quiet
  events:
    - *login
    - {<<: *login, t: +1h, device_entity: web-2}
  expect: [{device_entity: web-1}]
- name: a public source is quiet here
  events: [{<<: *login, src_ip: 203.0.113.9, src_is_private: false}]
  expect: []
- name: a source seen exactly fourteen days ago is known
  events:
    - *login
    - {<<: *login, t: +14d}
  expect: [{time: +0s}]
- name: a late earlier sign-in takes over as the first
  events:
    - {<<: *login, t: +5m}
    - {<<: *login, t: +6m, user_entity: bob}
    - {<<: *login, t: +1m}
  expect: [{user_entity: ann, time: +1m}, {user_entity: bob}]
---*/

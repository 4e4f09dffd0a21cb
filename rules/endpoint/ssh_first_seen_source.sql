/*---
id: endpoint.ssh_first_seen_source
title: SSH sign-in from an internal host that was no source before
severity: medium
status: stable
description: A sign-in over SSH was accepted from an internal address from which none was accepted during the last fourteen days. People come over a few bastions, an intruder from wherever the foothold is.
attack: [TA0008, TA0001, T1021.004, T1078]
entity: {src_ip: ip, user_entity: user, device_entity: device}
risk: 20
suppression: {by: [src_ip], for: 24h}
false_positives:
  - A new bastion, runner or administrator's machine
  - Addresses that change by DHCP
blind_spots:
  - An intruder on a machine that signs in to others anyway
runbook: Ask the user whether the hop was theirs. Look for refused connections and passwords of the same address.
references: ["https://attack.mitre.org/techniques/T1021/004/"]
---*/
SELECT time,
       src_ip,
       user_entity,
       device_entity,
       json_get_str(unmapped, 'auth_method') AS method,
       concat(user_entity, ' signed in to ', device_entity, ' from ', src_ip, ', no SSH source in the last 14 days') AS title
FROM authentication
WHERE source = 'linux.sshd'
  AND event_code = 'accepted'
  AND src_is_private IS TRUE
  AND first_seen(INTERVAL '14 days', src_ip)
/*--- tests
- name: a second internal source fires, both are new to us
  events:
    - &login {t: +0s, table: authentication, source: linux.sshd, event_code: accepted, status: Success, user_entity: ann, src_ip: 10.0.9.1, src_is_private: true, device_entity: web-1}
    - {<<: *login, t: +1h, src_ip: 10.0.1.5}
  expect: [{src_ip: 10.0.9.1}, {src_ip: 10.0.1.5, user_entity: ann}]
- name: another user over the same bastion is quiet
  events:
    - *login
    - {<<: *login, t: +1h, user_entity: bob, device_entity: web-2}
  expect: [{user_entity: ann, device_entity: web-1}]
- name: a public source is quiet here
  events: [{<<: *login, src_ip: 203.0.113.9, src_is_private: false}]
  expect: []
- name: a refused sign-in is quiet and teaches nothing
  events: [{<<: *login, event_code: failed, status: Failure}]
  expect: []
- name: a source used exactly fourteen days ago is known
  events:
    - *login
    - {<<: *login, t: +14d}
  expect: [{time: +0s}]
- name: one second more and it is new
  events:
    - *login
    - {<<: *login, t: +1209601s}
  expect: [{time: +0s}, {time: +1209601s}]
- name: a late earlier sign-in takes over as the first
  events:
    - {<<: *login, t: +5m}
    - {<<: *login, t: +6m, src_ip: 10.0.9.2}
    - {<<: *login, t: +1m}
  expect: [{src_ip: 10.0.9.1, time: +1m}, {src_ip: 10.0.9.2}]
---*/

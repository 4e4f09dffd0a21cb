/*---
id: endpoint.ssh_root_login
title: SSH sign-in as root with a password
severity: medium
status: stable
description: Root signed in over SSH with a password.
attack: [TA0008, TA0004, T1021.004, T1078.003]
entity: {device_entity: device, src_ip: ip}
risk: 20
suppression: {by: [device_entity, src_ip], for: 24h}
false_positives:
  - Appliances that know no other user
runbook: Ask who it was. Forbid root and passwords in sshd_config.
references: ["https://attack.mitre.org/techniques/T1021/004/"]
---*/
SELECT time,
       device_entity,
       src_ip,
       src_port,
       json_get_str(unmapped, 'auth_method') AS method,
       concat('root signed in to ', device_entity, ' with a password from ', src_ip) AS title
FROM authentication
WHERE source = 'linux.sshd'
  AND event_code = 'accepted'
  AND user_name = 'root'
  AND json_get_str(unmapped, 'auth_method') IN ('password', 'keyboard-interactive/pam')
/*--- tests
- name: root with a password
  events:
    - &root {t: +0s, table: authentication, source: linux.sshd, event_code: accepted, status: Success, user_name: root, device_entity: web-1, src_ip: 203.0.113.9, unmapped: '{"auth_method":"password"}'}
  expect: [{device_entity: web-1, src_ip: 203.0.113.9, method: password}]
- name: root with a key is quiet
  events: [{<<: *root, unmapped: '{"auth_method":"publickey"}'}]
  expect: []
- name: another user is quiet
  events: [{<<: *root, user_name: ann}]
  expect: []
- name: the line of sshd itself
  events: [{t: +0s, source: linux.sshd, raw: '2026-01-01T00:00:00Z web-1 sshd[9]: Accepted password for root from 203.0.113.9 port 4242 ssh2'}]
  expect: [{device_entity: web-1, method: password}]
---*/

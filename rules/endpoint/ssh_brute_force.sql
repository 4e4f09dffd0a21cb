/*---
id: endpoint.ssh_brute_force
title: SSH password guessing against one host
severity: medium
status: stable
description: Ten or more refused SSH sign-ins from one address to one host within five minutes.
attack: [TA0006, TA0008, T1110.001, T1021.004]
entity: {src_ip: ip, device_entity: device}
risk: 15
suppression: {by: [src_ip, device_entity], for: 1h}
false_positives:
  - A script with an old password
  - Every host with SSH open to the Internet, all day long
blind_spots:
  - Lines that syslog folded into "message repeated" count once
runbook: From inside, find the process on the source. From outside, close SSH to the Internet. Check for an accepted sign-in of the same address.
references: ["https://attack.mitre.org/techniques/T1110/001/"]
---*/
SELECT src_ip,
       device_entity,
       count(*) AS failures,
       count(DISTINCT user_name) AS users,
       min(time) AS first_failure,
       max(time) AS last_failure,
       concat(count(*), ' refused SSH sign-ins from ', src_ip, ' to ', device_entity, ' within 5 minutes') AS title
FROM authentication
WHERE source = 'linux.sshd'
  AND event_code = 'failed'
  AND src_ip IS NOT NULL
  AND device_entity IS NOT NULL
GROUP BY src_ip, device_entity, sliding(time, INTERVAL '5 minutes')
HAVING count(*) >= 10
/*--- tests
- name: ten refusals fire
  events:
    - &fail {t: +0s, table: authentication, source: linux.sshd, event_code: failed, status: Failure, user_name: root, user_entity: root, src_ip: 203.0.113.9, device_entity: web-1}
    - {<<: *fail, t: +5s, repeat: 9, every: 5s}
  expect: [{src_ip: 203.0.113.9, device_entity: web-1, failures: 10, users: 1}]
- name: nine refusals are quiet
  events: [{<<: *fail, repeat: 9, every: 5s}]
  expect: []
- name: ten refusals at two hosts are quiet
  events:
    - {<<: *fail, repeat: 5, every: 5s}
    - {<<: *fail, t: +2s, device_entity: web-2, repeat: 5, every: 5s}
  expect: []
- name: the tenth exactly five minutes after the first counts
  events:
    - {<<: *fail, repeat: 9, every: 5s}
    - {<<: *fail, t: +5m}
  expect: [{failures: 10}]
- name: one second later it does not
  events:
    - {<<: *fail, repeat: 9, every: 5s}
    - {<<: *fail, t: +301s}
  expect: []
- name: a late refusal completes it
  events:
    - {<<: *fail, repeat: 9, every: 5s}
    - {<<: *fail, t: +3m, src_ip: 198.51.100.7}
    - {<<: *fail, t: +1m}
  expect: [{src_ip: 203.0.113.9, failures: 10}]
- name: the lines of sshd themselves
  events:
    - {t: +0s, source: linux.sshd, raw: '2026-01-01T00:00:00Z web-1 sshd[9]: Failed password for root from 203.0.113.9 port 4242 ssh2', repeat: 10}
  expect: [{src_ip: 203.0.113.9, device_entity: web-1, failures: 10}]
---*/

/*---
id: endpoint.ssh_key_guessing
title: SSH guessing at a host that takes keys only
severity: medium
status: stable
description: Twenty or more connections from one address to one host ended before sign-in within five minutes, and nearly none was a refused password. A host that takes keys only writes no refusal at its default log level.
attack: [TA0006, TA0008, T1110, T1021.004]
entity: {src_ip: ip, device_entity: device}
risk: 10
suppression: {by: [src_ip, device_entity], for: 1h}
false_positives:
  - A monitor that opens and closes SSH connections as a user
blind_spots:
  - Guessing slower than twenty connections in five minutes
runbook: From inside, find the process on the source. From outside, close SSH to the Internet. Check for an accepted sign-in of the same address.
references: ["https://attack.mitre.org/techniques/T1110/"]
---*/
SELECT src_ip,
       device_entity,
       count(*) FILTER (WHERE event_code = 'closed_preauth') AS connections,
       count(DISTINCT user_name) AS users,
       concat(count(*) FILTER (WHERE event_code = 'closed_preauth'), ' SSH connections from ', src_ip, ' to ', device_entity, ' ended before sign-in within 5 minutes') AS title
FROM authentication
WHERE source = 'linux.sshd'
  AND event_code IN ('closed_preauth', 'failed')
  AND src_ip IS NOT NULL
  AND device_entity IS NOT NULL
GROUP BY src_ip, device_entity, sliding(time, INTERVAL '5 minutes')
-- Refused passwords are what endpoint.ssh_brute_force counts.
HAVING count(*) FILTER (WHERE event_code = 'closed_preauth') >= 20 AND count(*) FILTER (WHERE event_code = 'failed') < 10
/*--- tests
- name: twenty connections as root fire
  events:
    - &closed {t: +0s, table: authentication, source: linux.sshd, event_code: closed_preauth, user_name: root, user_entity: root, src_ip: 203.0.113.9, device_entity: web-1}
    - {<<: *closed, t: +6s, repeat: 19, every: 6s}
  expect: [{src_ip: 203.0.113.9, device_entity: web-1, connections: 20, users: 1}]
- name: nineteen are quiet
  events: [{<<: *closed, repeat: 19, every: 6s}]
  expect: []
- name: refused passwords are the other rule's
  events:
    - {<<: *closed, event_code: failed, status: Failure, repeat: 20, every: 6s}
    - {<<: *closed, t: +1s, repeat: 20, every: 6s}
  expect: []
- name: the lines of sshd themselves
  events:
    - {t: +0s, source: linux.sshd, raw: '2026-01-01T00:00:00Z web-1 sshd[9]: Connection closed by authenticating user root 203.0.113.9 port 4242 [preauth]', repeat: 20}
  expect: [{src_ip: 203.0.113.9, device_entity: web-1, connections: 20}]
---*/

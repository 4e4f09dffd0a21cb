/*---
id: endpoint.ssh_success_after_failures
title: SSH password guessed
severity: high
status: stable
description: Five or more refused SSH passwords and an accepted password from the same address to the same host within ten minutes.
attack: [TA0006, TA0008, T1110.001, T1021.004]
entity: {user_entity: user, device_entity: device, src_ip: ip}
risk: 45
suppression: {by: [src_ip, device_entity], for: 1h}
false_positives:
  - A person who mistypes a password often
blind_spots:
  - Accepted keys are left out, a stolen key needs no guessing
runbook: End the session, lock the account, look at its shell history and at outgoing connections of the host since.
references: ["https://attack.mitre.org/techniques/T1110/001/"]
---*/
SELECT src_ip,
       device_entity,
       max(user_entity) FILTER (WHERE event_code = 'accepted') AS user_entity,
       count(*) FILTER (WHERE event_code = 'failed') AS failures,
       count(*) FILTER (WHERE event_code = 'accepted') AS accepted,
       min(time) AS first_event,
       max(time) AS last_event,
       concat(src_ip, ' got in to ', device_entity, ' as ', max(user_entity) FILTER (WHERE event_code = 'accepted'), ' after ', count(*) FILTER (WHERE event_code = 'failed'), ' refused passwords') AS title
FROM authentication
WHERE source = 'linux.sshd'
  AND (event_code = 'failed'
       OR (event_code = 'accepted' AND json_get_str(unmapped, 'auth_method') IN ('password', 'keyboard-interactive/pam')))
  AND src_ip IS NOT NULL
  AND device_entity IS NOT NULL
GROUP BY src_ip, device_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) FILTER (WHERE event_code = 'failed') >= 5
   AND count(*) FILTER (WHERE event_code = 'accepted') >= 1
/*--- tests
- name: five refusals and a success fire
  events:
    - &fail {t: +0s, table: authentication, source: linux.sshd, event_code: failed, status: Failure, user_entity: admin, src_ip: 10.0.2.9, device_entity: db-1}
    - {<<: *fail, t: +10s, repeat: 4, every: 10s}
    - &pass {t: +2m, table: authentication, source: linux.sshd, event_code: accepted, status: Success, user_entity: admin, src_ip: 10.0.2.9, device_entity: db-1, unmapped: '{"auth_method":"password"}'}
  expect: [{src_ip: 10.0.2.9, device_entity: db-1, user_entity: admin, failures: 5, accepted: 1}]
- name: four refusals are quiet
  events:
    - {<<: *fail, repeat: 4, every: 10s}
    - *pass
  expect: []
- name: a key instead of a password is quiet
  events:
    - {<<: *fail, repeat: 5, every: 10s}
    - {<<: *pass, unmapped: '{"auth_method":"publickey"}'}
  expect: []
- name: a success from another address is quiet
  events:
    - {<<: *fail, repeat: 5, every: 10s}
    - {<<: *pass, src_ip: 10.0.2.10}
  expect: []
- name: a success exactly ten minutes after the first refusal counts
  events:
    - {<<: *fail, repeat: 5, every: 10s}
    - {<<: *pass, t: +10m}
  expect: [{failures: 5, accepted: 1}]
- name: one second later it does not
  events:
    - {<<: *fail, repeat: 5, every: 10s}
    - {<<: *pass, t: +601s}
  expect: []
- name: a late refusal completes it
  events:
    - {<<: *fail, repeat: 4, every: 10s}
    - *pass
    - {<<: *fail, t: +1m}
  expect: [{failures: 5, accepted: 1}]
---*/

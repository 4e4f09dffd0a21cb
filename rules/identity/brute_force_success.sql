/*---
id: identity.brute_force_success
title: Sign-in after many wrong passwords
severity: high
status: stable
description: Eight or more wrong passwords and a successful sign-in of the same user from the same address within ten minutes.
attack: [TA0006, TA0001, T1110.001, T1078]
entity: {user_entity: user, src_ip: ip}
risk: 40
suppression: {by: [user_entity, src_ip], for: 1h}
false_positives:
  - A user with a new keyboard layout, or a script with an old password beside a person who signs in
blind_spots:
  - The order is not checked, failures after a success count too
  - An attacker who changes address before the guess that works
runbook: Ask the user whether the failures were theirs. If not, revoke the sessions, reset the password, check what the session did.
references: ["https://attack.mitre.org/techniques/T1110/001/"]
---*/
SELECT user_entity,
       src_ip,
       count(*) FILTER (WHERE status = 'Failure') AS failures,
       count(*) FILTER (WHERE status = 'Success') AS successes,
       min(time) AS first_event,
       max(time) AS last_event,
       concat(user_entity, ' signed in from ', src_ip, ' beside ', count(*) FILTER (WHERE status = 'Failure'), ' wrong passwords') AS title
FROM authentication
WHERE activity = 'Logon'
  AND (status = 'Success' OR failure_reason IN ('bad_password', 'unknown_user'))
  AND user_entity IS NOT NULL
  AND src_ip IS NOT NULL
GROUP BY user_entity, src_ip, sliding(time, INTERVAL '10 minutes')
HAVING count(*) FILTER (WHERE status = 'Failure') >= 8
   AND count(*) FILTER (WHERE status = 'Success') >= 1
/*--- tests
- name: eight wrong passwords and a success fire
  events:
    - &fail {t: +0s, table: authentication, activity: Logon, status: Failure, failure_reason: bad_password, user_entity: ann, src_ip: 198.51.100.7}
    - {<<: *fail, t: +20s, repeat: 7, every: 20s}
    - &pass {t: +4m, table: authentication, activity: Logon, status: Success, user_entity: ann, src_ip: 198.51.100.7}
  expect: [{user_entity: ann, src_ip: 198.51.100.7, failures: 8, successes: 1}]
- name: seven wrong passwords and a success are quiet
  events:
    - {<<: *fail, repeat: 7, every: 20s}
    - *pass
  expect: []
- name: a success from another address is quiet
  events:
    - {<<: *fail, repeat: 8, every: 20s}
    - {<<: *pass, src_ip: 203.0.113.9}
  expect: []
- name: a success ten minutes after the first failure counts
  events:
    - {<<: *fail, repeat: 8, every: 20s}
    - {<<: *pass, t: +10m}
  expect: [{user_entity: ann, failures: 8}]
- name: a success one second later does not
  events:
    - {<<: *fail, repeat: 8, every: 20s}
    - {<<: *pass, t: +601s}
  expect: []
- name: a late failure completes it
  events:
    - {<<: *fail, repeat: 7, every: 20s}
    - *pass
    - {<<: *fail, t: +150s}
  expect: [{user_entity: ann, failures: 8, successes: 1}]
---*/

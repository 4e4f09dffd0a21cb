/*---
id: identity.password_spray
title: Password spray from one address
severity: high
status: stable
description: One address failed to sign in as ten or more different users within ten minutes, whatever they signed in to.
attack: [TA0006, T1110.003]
entity: {src_ip: ip}
risk: 30
suppression: {by: [src_ip], for: 1h}
false_positives:
  - An office or VPN exit behind one address after a forced password change
  - A scanner of the own security team
blind_spots:
  - A spray spread over many addresses, or slower than one user a minute
runbook: Block or challenge the address. List which of the users signed in successfully from it afterwards and reset those passwords.
references: ["https://attack.mitre.org/techniques/T1110/003/"]
---*/
SELECT src_ip,
       count(DISTINCT user_entity) AS users,
       count(*) AS attempts,
       min(time) AS first_attempt,
       max(time) AS last_attempt,
       concat(src_ip, ' failed to sign in as ', count(DISTINCT user_entity), ' users') AS title
FROM authentication
WHERE activity = 'Logon'
  AND status = 'Failure'
  AND failure_reason IN ('bad_password', 'unknown_user')
  AND src_ip IS NOT NULL
GROUP BY src_ip, sliding(time, INTERVAL '10 minutes')
HAVING count(DISTINCT user_entity) >= 10
/*--- tests
- name: ten users from one address fire
  events:
    - &fail {t: +0s, table: authentication, activity: Logon, status: Failure, failure_reason: bad_password, user_entity: user0, src_ip: 198.51.100.7}
    - {<<: *fail, t: +20s, user_entity: user1}
    - {<<: *fail, t: +40s, user_entity: user2}
    - {<<: *fail, t: +60s, user_entity: user3}
    - {<<: *fail, t: +80s, user_entity: user4}
    - {<<: *fail, t: +100s, user_entity: user5}
    - {<<: *fail, t: +120s, user_entity: user6}
    - {<<: *fail, t: +140s, user_entity: user7}
    - {<<: *fail, t: +160s, user_entity: user8}
    - {<<: *fail, t: +180s, user_entity: user9}
  expect: [{src_ip: 198.51.100.7, users: 10, attempts: 10}]
- name: nine users are quiet
  events:
    - *fail
    - {<<: *fail, t: +20s, user_entity: user1}
    - {<<: *fail, t: +40s, user_entity: user2}
    - {<<: *fail, t: +60s, user_entity: user3}
    - {<<: *fail, t: +80s, user_entity: user4}
    - {<<: *fail, t: +100s, user_entity: user5}
    - {<<: *fail, t: +120s, user_entity: user6}
    - {<<: *fail, t: +140s, user_entity: user7}
    - {<<: *fail, t: +160s, user_entity: user8}
  expect: []
- name: many failures of one user are quiet
  events: [{<<: *fail, repeat: 40, every: 5s}]
  expect: []
- name: the tenth user exactly ten minutes after the first counts
  events:
    - *fail
    - {<<: *fail, t: +20s, user_entity: user1}
    - {<<: *fail, t: +40s, user_entity: user2}
    - {<<: *fail, t: +60s, user_entity: user3}
    - {<<: *fail, t: +80s, user_entity: user4}
    - {<<: *fail, t: +100s, user_entity: user5}
    - {<<: *fail, t: +120s, user_entity: user6}
    - {<<: *fail, t: +140s, user_entity: user7}
    - {<<: *fail, t: +160s, user_entity: user8}
    - {<<: *fail, t: +10m, user_entity: user9}
  expect: [{src_ip: 198.51.100.7, users: 10}]
- name: one second later it does not
  events:
    - *fail
    - {<<: *fail, t: +20s, user_entity: user1}
    - {<<: *fail, t: +40s, user_entity: user2}
    - {<<: *fail, t: +60s, user_entity: user3}
    - {<<: *fail, t: +80s, user_entity: user4}
    - {<<: *fail, t: +100s, user_entity: user5}
    - {<<: *fail, t: +120s, user_entity: user6}
    - {<<: *fail, t: +140s, user_entity: user7}
    - {<<: *fail, t: +160s, user_entity: user8}
    - {<<: *fail, t: +601s, user_entity: user9}
  expect: []
- name: a late tenth user completes the spray
  events:
    - *fail
    - {<<: *fail, t: +20s, user_entity: user1}
    - {<<: *fail, t: +40s, user_entity: user2}
    - {<<: *fail, t: +60s, user_entity: user3}
    - {<<: *fail, t: +80s, user_entity: user4}
    - {<<: *fail, t: +100s, user_entity: user5}
    - {<<: *fail, t: +120s, user_entity: user6}
    - {<<: *fail, t: +140s, user_entity: user7}
    - {<<: *fail, t: +160s, user_entity: user8}
    - {<<: *fail, t: +5m, src_ip: 203.0.113.1}
    - {<<: *fail, t: +2m, user_entity: user9}
  expect: [{src_ip: 198.51.100.7, users: 10}]
---*/

/*---
id: identity.mfa_fatigue
title: MFA push fatigue
severity: high
status: stable
description: Five or more refused MFA pushes for one user within ten minutes. Somebody has the password and hopes for a tired tap.
attack: [TA0006, T1621]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A user who cannot find the phone and keeps refusing pushes of an own sign-in loop
blind_spots:
  - Number-matching prompts that are ignored end as time-outs, which Okta does not report as refusals
runbook: Ask the user on a second channel whether the prompts were theirs. If not, reset the password, revoke the sessions and look for a success from the same addresses.
references: ["https://attack.mitre.org/techniques/T1621/"]
---*/
SELECT user_entity,
       count(*) AS denials,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_denial,
       max(time) AS last_denial,
       concat(count(*), ' refused MFA pushes for ', user_entity, ' within 10 minutes') AS title
FROM authentication
WHERE failure_reason = 'mfa_denied'
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) >= 5
/*--- tests
- name: five refusals in ten minutes fire once
  events:
    - &deny {t: +0s, table: authentication, user_entity: ann, status: Failure, failure_reason: mfa_denied, src_ip: 203.0.113.9}
    - {<<: *deny, t: +30s, repeat: 4, every: 60s}
  expect: [{user_entity: ann, denials: 5, sources: 1, title: 5 refused MFA pushes for ann within 10 minutes}]
- name: four refusals are quiet
  events: [{<<: *deny, t: +0s, repeat: 4, every: 60s}]
  expect: []
- name: five refusals spread over an hour are quiet
  events: [{<<: *deny, t: +0s, repeat: 5, every: 15m}]
  expect: []
- name: five refusals of two users are quiet
  events:
    - {<<: *deny, t: +0s, repeat: 3, every: 60s}
    - {<<: *deny, t: +10s, user_entity: bob, repeat: 2, every: 60s}
  expect: []
- name: the first and the fifth exactly ten minutes apart still count
  events:
    - {<<: *deny, t: +0s, repeat: 4, every: 60s}
    - {<<: *deny, t: +10m}
  expect: [{user_entity: ann, denials: 5}]
- name: one second more is too long
  events:
    - {<<: *deny, t: +0s, repeat: 4, every: 60s}
    - {<<: *deny, t: +601s}
  expect: []
- name: a late refusal completes the burst
  events:
    - {<<: *deny, t: +0s, repeat: 4, every: 60s}
    - {t: +9m, table: authentication, user_entity: bob, status: Success}
    - {<<: *deny, t: +4m}
  expect: [{user_entity: ann, denials: 5}]
---*/

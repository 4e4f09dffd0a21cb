/*---
id: identity.mfa_fatigue_success
title: MFA push accepted after refusals
severity: critical
status: stable
description: A user refused at least three MFA pushes and passed MFA within the same thirty minutes. The usual end of a push-fatigue attack.
attack: [TA0006, TA0001, T1621, T1078.004]
entity: {user_entity: user}
risk: 60
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A user who refused own prompts by mistake and then signed in
blind_spots:
  - The order is not checked, a success before the refusals counts too
runbook: Treat the account as taken over until the user confirms on a second channel. Revoke all sessions, reset password and factors, list what the new session did.
references: ["https://attack.mitre.org/techniques/T1621/"]
---*/
SELECT user_entity,
       count(*) FILTER (WHERE failure_reason = 'mfa_denied') AS denials,
       count(*) FILTER (WHERE status = 'Success') AS successes,
       count(DISTINCT src_ip) AS sources,
       max(time) AS last_event,
       concat(user_entity, ' passed MFA after ', count(*) FILTER (WHERE failure_reason = 'mfa_denied'), ' refused pushes') AS title
FROM authentication
WHERE is_mfa IS TRUE
  AND (status = 'Success' OR failure_reason = 'mfa_denied')
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '30 minutes')
HAVING count(*) FILTER (WHERE failure_reason = 'mfa_denied') >= 3
   AND count(*) FILTER (WHERE status = 'Success') >= 1
/*--- tests
- name: three refusals and a success fire
  events:
    - &deny {t: +0s, table: authentication, user_entity: ann, is_mfa: true, status: Failure, failure_reason: mfa_denied, src_ip: 203.0.113.9}
    - {<<: *deny, t: +1m, repeat: 2, every: 60s}
    - &pass {t: +4m, table: authentication, user_entity: ann, is_mfa: true, status: Success, src_ip: 203.0.113.9}
  expect: [{user_entity: ann, denials: 3, successes: 1, sources: 1}]
- name: two refusals and a success are quiet
  events:
    - {<<: *deny, t: +0s, repeat: 2, every: 60s}
    - *pass
  expect: []
- name: three refusals without a success are quiet
  events: [{<<: *deny, t: +0s, repeat: 3, every: 60s}]
  expect: []
- name: the success of another user is quiet
  events:
    - {<<: *deny, t: +0s, repeat: 3, every: 60s}
    - {<<: *pass, user_entity: bob}
  expect: []
- name: a success exactly thirty minutes after the first refusal counts
  events:
    - {<<: *deny, t: +0s, repeat: 3, every: 60s}
    - {<<: *pass, t: +30m}
  expect: [{user_entity: ann, denials: 3}]
- name: a late refusal completes it
  events:
    - {<<: *deny, t: +0s, repeat: 2, every: 60s}
    - *pass
    - {<<: *deny, t: +3m}
  expect: [{user_entity: ann, denials: 3, successes: 1}]
---*/

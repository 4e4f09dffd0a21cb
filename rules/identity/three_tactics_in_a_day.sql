/*---
id: identity.three_tactics_in_a_day
title: Findings of three tactics about one user in a day
severity: high
status: stable
description: Rules of at least three different ATT&CK tactics found something about one user within twenty-four hours. Each may have a harmless reason, an intrusion that goes on step by step is what they have in common.
attack: [TA0001, TA0003, TA0006, T1078]
entity: {user_entity: user}
risk: 0
suppression: {by: [user_entity], for: 1d}
false_positives:
  - A security test, or an administrator who sets up accounts and factors all day
blind_spots:
  - What is found of a user and of their devices is not put together
  - A finding counts once nothing can change it any more, that of a window when the window is over
runbook: Read the findings in the order of their times and ask whether one person does this in their work. Their risk counts already, so that this finding adds none.
references: ["https://attack.mitre.org/tactics/enterprise/"]
---*/
SELECT user_entity,
       count(DISTINCT tactic_id) AS tactics,
       count(DISTINCT rule_id) AS rules,
       array_agg(DISTINCT rule_id) AS found_by,
       min(time) AS first_event,
       max(time) AS last_event,
       concat(user_entity, ': findings of ', count(DISTINCT tactic_id), ' tactics in a day') AS title
FROM findings
WHERE user_entity IS NOT NULL
  AND tactic_id IS NOT NULL
  AND severity IN ('medium', 'high', 'critical')
  AND NOT shadow
GROUP BY user_entity, sliding(time, INTERVAL '1 day')
HAVING count(DISTINCT tactic_id) >= 3
/*--- tests
- name: three tactics within a day fire
  events:
    - &one {t: +0s, table: findings, rule_id: identity.brute_force_success, user_entity: ann, tactic_id: TA0006, severity: high, shadow: false}
    - {<<: *one, t: +5h, rule_id: identity.api_token_created, tactic_id: TA0003, severity: medium}
    - {<<: *one, t: +20h, rule_id: cloud.audit_logging_disabled, tactic_id: TA0005}
  expect: [{user_entity: ann, tactics: 3, rules: 3, found_by: [cloud.audit_logging_disabled, identity.api_token_created, identity.brute_force_success]}]
- name: two tactics are quiet however often they are found
  events:
    - {<<: *one, t: +0s, repeat: 20, every: 10m}
    - {<<: *one, t: +4h, rule_id: identity.api_token_created, tactic_id: TA0003}
  expect: []
- name: three tactics over more than a day are quiet
  events:
    - {<<: *one, t: +0s}
    - {<<: *one, t: +12h, rule_id: identity.api_token_created, tactic_id: TA0003}
    - {<<: *one, t: +1d1s, rule_id: cloud.audit_logging_disabled, tactic_id: TA0005}
  expect: []
- name: findings of low severity and of rules on trial do not count
  events:
    - {<<: *one, t: +0s}
    - {<<: *one, t: +1h, rule_id: identity.api_token_created, tactic_id: TA0003, severity: low}
    - {<<: *one, t: +2h, rule_id: cloud.audit_logging_disabled, tactic_id: TA0005, shadow: true}
  expect: []
- name: tactics of two users are not put together
  events:
    - {<<: *one, t: +0s}
    - {<<: *one, t: +1h, rule_id: identity.api_token_created, tactic_id: TA0003}
    - {<<: *one, t: +2h, user_entity: bob, rule_id: cloud.audit_logging_disabled, tactic_id: TA0005}
  expect: []
---*/

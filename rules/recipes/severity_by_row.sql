/*---
id: recipes.severity_by_row
title: A severity that depends on the event
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, target_role, time,
       CASE WHEN icontains(target_role, 'super') THEN 'critical' ELSE 'medium' END AS severity,
       CASE WHEN icontains(target_role, 'super') THEN 60 ELSE 15 END AS risk
FROM identity_change
WHERE change = 'role_assigned' AND icontains(target_role, 'admin')
/*--- tests
- name: a super administrator
  events: [&a {t: +0s, table: identity_change, user_entity: ann, change: role_assigned, target_role: Super Administrator}]
  expect: [{severity: critical, risk: 60}]
- name: a reader
  events: [{<<: *a, target_role: Reader}]
  expect: []
---*/

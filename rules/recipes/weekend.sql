/*---
id: recipes.weekend
title: A role given at the weekend
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT actor_user_entity AS user_entity, target_role, time
FROM identity_change
WHERE change = 'role_assigned' AND actor_user_entity IS NOT NULL
  AND date_part('dow', time) IN (0, 6)
/*--- tests
- name: a Saturday
  events: [{t: '2026-01-03T12:00:00Z', table: identity_change, actor_user_entity: ann, change: role_assigned, target_role: Owner}]
  expect: [{user_entity: ann, target_role: Owner}]
- name: a Friday
  events: [{t: '2026-01-02T12:00:00Z', table: identity_change, actor_user_entity: ann, change: role_assigned, target_role: Owner}]
  expect: []
---*/

/*---
id: recipes.session_burst
title: A long visit with many different resources
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, count(DISTINCT resource_uid) AS resources
FROM api_activity
WHERE user_entity IS NOT NULL AND resource_uid IS NOT NULL
GROUP BY user_entity, session(time, INTERVAL '10 minutes')
HAVING count(DISTINCT resource_uid) >= 3
/*--- tests
- name: three resources without a pause
  events:
    - &a {t: +0s, table: api_activity, user_entity: ann, resource_uid: a}
    - {<<: *a, t: +9m, resource_uid: b}
    - {<<: *a, t: +18m, resource_uid: c}
  expect: [{user_entity: ann, resources: 3}]
- name: a pause in between
  events: [*a, {<<: *a, t: +9m, resource_uid: b}, {<<: *a, t: +20m, resource_uid: c}]
  expect: []
---*/

/*---
id: recipes.list_element
title: A factor of the attempt was a push
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 'Failure' AND array_any_match(mfa_factors, v -> istarts(v, 'push'))
/*--- tests
- name: one of two factors
  events: [&a {t: +0s, table: authentication, user_entity: ann, status: Failure, mfa_factors: [Password, Push Notification]}]
  expect: [{user_entity: ann}]
- name: none of them
  events: [{<<: *a, mfa_factors: [Password]}]
  expect: []
---*/

/*---
id: recipes.fold_by_key
title: Repeats folded by a key of the row
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
suppression: {for: 1h}
---*/
SELECT user_entity, api_operation, time, concat(user_entity, ' ', cloud_account_uid) AS dedup_key
FROM api_activity
WHERE error_code = 'AccessDenied' AND user_entity IS NOT NULL
/*--- tests
- name: three findings, one of which is told
  events: [&a {t: +0s, table: api_activity, user_entity: ann, cloud_account_uid: '1', error_code: AccessDenied, api_operation: ListUsers, repeat: 3, every: 10m}]
  expect: [{user_entity: ann}, {user_entity: ann}, {user_entity: ann}]
  alerts: 1
- name: allowed
  events: [{t: +0s, table: api_activity, user_entity: ann, cloud_account_uid: '1', api_operation: ListUsers}]
  expect: []
---*/

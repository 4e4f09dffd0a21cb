/*---
id: recipes.value_list
title: One of many operations
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, api_operation, time
FROM api_activity
WHERE api_operation IN ('StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors')
/*--- tests
- name: one of them
  events: [&a {t: +0s, table: api_activity, user_entity: ann, api_operation: DeleteTrail}]
  expect: [{api_operation: DeleteTrail}]
- name: another one
  events: [{<<: *a, api_operation: DescribeTrails}]
  expect: []
---*/

/*---
id: recipes.json_number
title: A port of administration is opened
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, time, json_get_int(request, 'fromPort') AS port
FROM api_activity
WHERE api_operation = 'AuthorizeSecurityGroupIngress' AND json_get_int(request, 'fromPort') IN (22, 3389)
/*--- tests
- name: port 22
  events: [&a {t: +0s, table: api_activity, user_entity: ann, api_operation: AuthorizeSecurityGroupIngress, request: '{"fromPort": 22}'}]
  expect: [{port: 22}]
- name: port 443
  events: [{<<: *a, request: '{"fromPort":443}'}]
  expect: []
---*/

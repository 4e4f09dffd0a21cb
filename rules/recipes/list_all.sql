/*---
id: recipes.list_all
title: Every address of the event is outside the company
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 'Success' AND array_length(ips) > 0
  AND array_all_match(ips, v -> NOT cidr_match(v, '10.0.0.0/8'))
/*--- tests
- name: outside
  events: [&a {t: +0s, table: authentication, user_entity: ann, status: Success, src_ip: 203.0.113.9}]
  expect: [{user_entity: ann}]
- name: one inside
  events: [{<<: *a, dst_ip: 10.0.0.1}]
  expect: []
---*/

/*---
id: recipes.not_in_network
title: A sign-in from outside, or from an unknown address
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, src_ip, time
FROM authentication
WHERE status = 'Success' AND user_entity IS NOT NULL
  AND cidr_match(src_ip, '10.0.0.0/8', '192.168.0.0/16') IS NOT TRUE
/*--- tests
- name: no address at all
  events: [&a {t: +0s, table: authentication, user_entity: ann, status: Success}]
  expect: [{user_entity: ann}]
- name: from the office
  events: [{<<: *a, src_ip: 10.1.2.3}]
  expect: []
---*/

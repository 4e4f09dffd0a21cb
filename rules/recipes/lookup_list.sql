/*---
id: recipes.lookup_list
title: A sign-in from a network on a list
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
-- lookups/blocked.csv: network,reason; beside it blocked.yaml: {key: network, match: cidr}
SELECT user_entity, src_ip, lookup('blocked', src_ip, 'reason') AS reason, time
FROM authentication
WHERE status = 'Success' AND in_lookup('blocked', src_ip)
/*--- tests
- name: from a network on the list
  lookups: &blocked {blocked: {key: network, match: cidr, rows: [{network: 203.0.113.0/24, reason: botnet}]}}
  events: [&a {t: +0s, table: authentication, user_entity: ann, status: Success, src_ip: 203.0.113.9}]
  expect: [{user_entity: ann, reason: botnet}]
- name: from another
  lookups: *blocked
  events: [{<<: *a, src_ip: 198.51.100.7}]
  expect: []
---*/

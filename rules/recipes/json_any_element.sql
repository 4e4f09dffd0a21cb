/*---
id: recipes.json_any_element
title: Some range of some permission is the whole internet
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, time
FROM api_activity
WHERE api_operation = 'AuthorizeSecurityGroupIngress'
  AND json_any(request, 'ipPermissions', 'items', '*', 'ipRanges', 'items', '*', 'cidrIp',
               v -> v IN ('0.0.0.0/0', '::/0'))
/*--- tests
- name: the second range of the first permission
  events:
    - &a {t: +0s, table: api_activity, user_entity: ann, api_operation: AuthorizeSecurityGroupIngress,
          request: '{"ipPermissions": {"items": [{"ipRanges": {"items": [{"cidrIp": "10.0.0.0/8"}, {"cidrIp": "0.0.0.0\/0"}]}}]}}'}
  expect: [{user_entity: ann}]
- name: a range of the company
  events: [{<<: *a, request: '{"ipPermissions":{"items":[{"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"}]}}]}}'}]
  expect: []
---*/

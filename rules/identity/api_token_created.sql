/*---
id: identity.api_token_created
title: API token created in the identity provider
severity: medium
status: stable
description: A long-lived API token of the identity provider was created. It carries the rights of its maker and needs no second factor.
attack: [TA0003, T1098.001]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A planned integration
runbook: Ask the maker what it is for and from where it will be used. Revoke it when nobody answers, restrict it to an address range when it stays.
references: ["https://attack.mitre.org/techniques/T1098/001/"]
---*/
SELECT time,
       user_entity,
       resource_name,
       src_ip,
       src_country,
       concat(user_entity, ' created the API token ', coalesce(resource_name, '(unnamed)')) AS title
FROM api_activity
WHERE api_operation = 'system.api_token.create'
  AND status = 'Success'
/*--- tests
- name: a token is created
  events:
    - &token {t: +0s, table: api_activity, source: okta.system, api_operation: system.api_token.create, status: Success, user_entity: ann@example.com, resource_name: backup}
  expect: [{user_entity: ann@example.com, title: ann@example.com created the API token backup}]
- name: a refused creation is quiet
  events: [{<<: *token, status: Failure}]
  expect: []
- name: a revoked token is quiet
  events: [{<<: *token, api_operation: system.api_token.revoke}]
  expect: []
---*/

/*---
id: cloud.secrets_batch_read
title: Secrets read in bulk by filter
severity: medium
status: stable
description: Secrets were read in one call by a filter instead of by name. Programs know the names of their secrets.
attack: [TA0006, T1555.006]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A tool that loads all secrets with one tag at start
runbook: Ask the owner of the principal. If unknown, rotate what the filter covers.
references: ["https://attack.mitre.org/techniques/T1555/006/"]
---*/
SELECT time,
       user_entity,
       src_ip,
       cloud_account_uid,
       cloud_region,
       request,
       concat(user_entity, ' read secrets in bulk from ', coalesce(src_ip, src_hostname)) AS title
FROM api_activity
WHERE api_operation = 'BatchGetSecretValue'
  AND request LIKE '%"filters"%'
  AND status = 'Success'
/*--- tests
- name: a batch by tag
  events:
    - &batch {t: +0s, table: api_activity, api_operation: BatchGetSecretValue, status: Success, user_entity: ann, src_ip: 203.0.113.9, request: '{"filters":[{"key":"tag-key","values":["prod"]}]}'}
  expect: [{user_entity: ann, title: ann read secrets in bulk from 203.0.113.9}]
- name: a batch by name is quiet
  events: [{<<: *batch, request: '{"secretIdList":["a","b"]}'}]
  expect: []
---*/

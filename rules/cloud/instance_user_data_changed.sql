/*---
id: cloud.instance_user_data_changed
title: Start script of an instance changed
severity: high
status: stable
description: The user data of an existing instance was replaced. It runs as root at the next start.
attack: [TA0002, T1059.009, T1651]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - A change by the deployment tool of the team
runbook: Compare the new script with the repository. If unknown, isolate the instance before it starts again.
references: ["https://attack.mitre.org/techniques/T1651/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' changed the start script of ', coalesce(resource_uid, 'an instance')) AS title
FROM api_activity
WHERE api_operation = 'ModifyInstanceAttribute'
  AND request LIKE '%"userData"%'
  AND status = 'Success'
/*--- tests
- name: a start script is replaced
  events:
    - &change {t: +0s, table: api_activity, api_operation: ModifyInstanceAttribute, status: Success, user_entity: ann, resource_uid: i-0abc, request: '{"instanceId":"i-0abc","userData":"<sensitiveDataRemoved>"}'}
  expect: [{user_entity: ann, resource_uid: i-0abc}]
- name: another attribute is quiet
  events: [{<<: *change, request: '{"instanceId":"i-0abc","instanceType":{"value":"t3.small"}}'}]
  expect: []
- name: a refused change is quiet
  events: [{<<: *change, status: Failure}]
  expect: []
---*/

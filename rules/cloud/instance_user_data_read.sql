/*---
id: cloud.instance_user_data_read
title: Start scripts of several instances read
severity: medium
status: stable
description: One principal asked for the user data of five or more instances within ten minutes, granted or not. Start scripts often hold passwords.
attack: [TA0006, TA0007, T1552.005, T1580]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - An inventory or compliance scanner
runbook: Check the principal and address. Search the scripts that were handed out for secrets and rotate those.
references: ["https://attack.mitre.org/techniques/T1580/"]
---*/
SELECT user_entity,
       count(DISTINCT resource_uid) AS instances,
       count(*) FILTER (WHERE status = 'Success') AS granted,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_call,
       max(time) AS last_call,
       concat(user_entity, ' asked for the start scripts of ', count(DISTINCT resource_uid), ' instances within 10 minutes') AS title
FROM api_activity
WHERE api_operation = 'DescribeInstanceAttribute'
  AND (request LIKE '%"attribute":"userData"%' OR request LIKE '%"attribute": "userData"%')
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(DISTINCT resource_uid) >= 5
/*--- tests
- name: five instances fire
  events:
    - &ask {t: +0s, table: api_activity, api_operation: DescribeInstanceAttribute, request: '{"attribute":"userData","instanceId":"i-0"}', status: Failure, user_entity: ann, resource_uid: i-0}
    - {<<: *ask, t: +1s, resource_uid: i-1}
    - {<<: *ask, t: +2s, resource_uid: i-2}
    - {<<: *ask, t: +3s, resource_uid: i-3}
    - {<<: *ask, t: +4s, resource_uid: i-4}
  expect: [{user_entity: ann, instances: 5, granted: 0}]
- name: four are quiet
  events:
    - *ask
    - {<<: *ask, t: +1s, resource_uid: i-1}
    - {<<: *ask, t: +2s, resource_uid: i-2}
    - {<<: *ask, t: +3s, resource_uid: i-3}
  expect: []
- name: another attribute is quiet
  events:
    - &type {<<: *ask, request: '{"attribute":"instanceType","instanceId":"i-0"}'}
    - {<<: *type, t: +1s, resource_uid: i-1}
    - {<<: *type, t: +2s, resource_uid: i-2}
    - {<<: *type, t: +3s, resource_uid: i-3}
    - {<<: *type, t: +4s, resource_uid: i-4}
  expect: []
- name: the fifth exactly ten minutes after the first counts
  events:
    - *ask
    - {<<: *ask, t: +1s, resource_uid: i-1}
    - {<<: *ask, t: +2s, resource_uid: i-2}
    - {<<: *ask, t: +3s, resource_uid: i-3}
    - {<<: *ask, t: +10m, resource_uid: i-4}
  expect: [{instances: 5}]
- name: a late fifth fires
  events:
    - *ask
    - {<<: *ask, t: +1s, resource_uid: i-1}
    - {<<: *ask, t: +2s, resource_uid: i-2}
    - {<<: *ask, t: +3s, resource_uid: i-3}
    - {<<: *ask, t: +4m, user_entity: bob}
    - {<<: *ask, t: +1m, resource_uid: i-4}
  expect: [{user_entity: ann, instances: 5}]
---*/

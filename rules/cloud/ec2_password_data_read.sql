/*---
id: cloud.ec2_password_data_read
title: Windows passwords of several instances asked for
severity: high
status: stable
description: One principal asked for the administrator password of five or more instances within ten minutes, granted or not.
attack: [TA0006, T1552.005]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A roll-out of Windows machines that reads each new password
runbook: Check the principal and address. Change the passwords that were handed out.
references: ["https://attack.mitre.org/techniques/T1552/005/"]
---*/
SELECT user_entity,
       count(DISTINCT resource_uid) AS instances,
       count(*) FILTER (WHERE status = 'Success') AS granted,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_call,
       max(time) AS last_call,
       concat(user_entity, ' asked for the passwords of ', count(DISTINCT resource_uid), ' instances within 10 minutes') AS title
FROM api_activity
WHERE api_operation = 'GetPasswordData'
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(DISTINCT resource_uid) >= 5
/*--- tests
- name: five instances fire
  events:
    - &ask {t: +0s, table: api_activity, api_operation: GetPasswordData, status: Failure, error_code: Client.UnauthorizedOperation, user_entity: ann, resource_uid: i-0}
    - {<<: *ask, t: +1s, resource_uid: i-1}
    - {<<: *ask, t: +2s, resource_uid: i-2}
    - {<<: *ask, t: +3s, resource_uid: i-3}
    - {<<: *ask, t: +4s, resource_uid: i-4, status: Success}
  expect: [{user_entity: ann, instances: 5, granted: 1}]
- name: one instance asked many times is quiet
  events: [{<<: *ask, repeat: 10, every: 10s}]
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

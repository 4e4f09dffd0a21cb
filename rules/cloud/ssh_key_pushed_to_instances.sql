/*---
id: cloud.ssh_key_pushed_to_instances
title: SSH key pushed to several instances
severity: high
status: stable
description: One principal pushed a temporary SSH key to three or more instances within ten minutes through EC2 Instance Connect.
attack: [TA0008, TA0003, T1021.008, T1098.004]
entity: {user_entity: user}
risk: 25
suppression: {by: [user_entity], for: 1h}
false_positives:
  - An administrator at work on a cluster
blind_spots:
  - Access to one or two machines only
runbook: Ask the principal. Look at the sshd log of the instances for the sessions that followed.
references: ["https://attack.mitre.org/techniques/T1021/008/"]
---*/
SELECT user_entity,
       count(DISTINCT resource_uid) AS instances,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_call,
       max(time) AS last_call,
       concat(user_entity, ' pushed an SSH key to ', count(DISTINCT resource_uid), ' instances within 10 minutes') AS title
FROM api_activity
WHERE api_operation IN ('SendSSHPublicKey', 'SendSerialConsoleSSHPublicKey')
  AND status = 'Success'
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(DISTINCT resource_uid) >= 3
/*--- tests
- name: 3 instances in a few seconds fire
  events:
    - &call {t: +0s, table: api_activity, api_operation: SendSSHPublicKey, status: Success, user_entity: ann, src_ip: 203.0.113.9, resource_uid: i-0}
    - {<<: *call, t: +1s, resource_uid: i-1}
    - {<<: *call, t: +2s, resource_uid: i-2}
  expect: [{user_entity: ann, instances: 3, sources: 1}]
- name: one instance many times is quiet
  events: [{<<: *call, repeat: 6, every: 30s}]
  expect: []
- name: refused calls are quiet
  events:
    - &refused {<<: *call, status: Failure}
    - {<<: *refused, t: +1s, resource_uid: i-1}
    - {<<: *refused, t: +2s, resource_uid: i-2}
  expect: []
- name: the last exactly ten minutes after the first counts
  events:
    - *call
    - {<<: *call, t: +1s, resource_uid: i-1}
    - {<<: *call, t: +10m, resource_uid: i-9}
  expect: [{instances: 3}]
- name: one second later it does not
  events:
    - *call
    - {<<: *call, t: +1s, resource_uid: i-1}
    - {<<: *call, t: +601s, resource_uid: i-9}
  expect: []
- name: a late call completes it
  events:
    - *call
    - {<<: *call, t: +1s, resource_uid: i-1}
    - {<<: *call, t: +4m, user_entity: bob}
    - {<<: *call, t: +1m, resource_uid: i-9}
  expect: [{user_entity: ann, instances: 3}]
---*/

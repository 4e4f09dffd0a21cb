/*---
id: cloud.instance_credentials_beside_user_key
title: Instance credentials used from the address of a user's key
severity: high
status: stable
description: One address used the access key of an IAM user and, within ten minutes, the role credentials of an EC2 instance. Instance credentials belong on their instance.
attack: [TA0006, TA0001, T1552.005, T1078.004]
entity: {src_ip: ip}
risk: 35
suppression: {by: [src_ip], for: 1h}
false_positives:
  - A program on the instance that holds a user's key beside the role
  - A NAT gateway shared by instances and people
blind_spots:
  - Stolen credentials used from an address of their own
runbook: Check whether the address is the instance's. If not, revoke the sessions of the role and find out how the metadata service was reached.
references: ["https://attack.mitre.org/techniques/T1552/005/"]
---*/
SELECT src_ip,
       count(*) FILTER (WHERE device_uid IS NOT NULL) AS instance_calls,
       count(*) FILTER (WHERE user_type = 'IAMUser') AS user_calls,
       count(DISTINCT device_uid) AS instances,
       min(device_uid) AS instance,
       max(time) AS last_call,
       concat('credentials of ', min(device_uid), ' used from ', src_ip, ', which also uses the key of a user') AS title
FROM api_activity
WHERE cloud_provider = 'AWS'
  AND (device_uid LIKE 'i-%' OR user_type = 'IAMUser')
  AND src_ip IS NOT NULL
GROUP BY src_ip, sliding(time, INTERVAL '10 minutes')
HAVING count(*) FILTER (WHERE device_uid IS NOT NULL) >= 1
   AND count(*) FILTER (WHERE user_type = 'IAMUser') >= 1
/*--- tests
- name: a user's key and an instance's role from one address
  events:
    - &user {t: +0s, table: api_activity, cloud_provider: AWS, user_type: IAMUser, user_entity: ann, src_ip: 203.0.113.9, api_operation: SendCommand}
    - &instance {t: +1m, table: api_activity, cloud_provider: AWS, user_type: AssumedRole, user_entity: web, device_uid: i-0abc, src_ip: 203.0.113.9, api_operation: GetCallerIdentity}
  expect: [{src_ip: 203.0.113.9, instance_calls: 1, user_calls: 1, instance: i-0abc}]
- name: an instance alone is quiet
  events: [{<<: *instance, repeat: 5, every: 60s}]
  expect: []
- name: two addresses are quiet
  events:
    - *user
    - {<<: *instance, src_ip: 198.51.100.7}
  expect: []
- name: exactly ten minutes apart counts
  events:
    - *user
    - {<<: *instance, t: +10m}
  expect: [{src_ip: 203.0.113.9}]
- name: one second more does not
  events:
    - *user
    - {<<: *instance, t: +601s}
  expect: []
- name: a late call of the user completes it
  events:
    - *instance
    - {<<: *instance, t: +5m, src_ip: 198.51.100.7}
    - {<<: *user, t: +30s}
  expect: [{src_ip: 203.0.113.9, instance_calls: 1, user_calls: 1}]
---*/

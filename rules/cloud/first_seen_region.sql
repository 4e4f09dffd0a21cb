/*---
id: cloud.first_seen_region
title: Compute started in a region new for the account
severity: medium
status: stable
description: Compute was started in a region in which the account started none during the last thirty days. Mining happens where nobody looks.
attack: [TA0005, TA0040, T1535, T1496]
entity: {user_entity: user}
risk: 25
suppression: {by: [cloud_account_uid, cloud_region], for: 24h}
false_positives:
  - The planned use of a new region
blind_spots:
  - Regions the account works in anyway
runbook: Ask the owner of the principal. List what runs in that region and stop what nobody knows.
references: ["https://attack.mitre.org/techniques/T1535/"]
---*/
SELECT time,
       user_entity,
       cloud_account_uid,
       cloud_region,
       api_service,
       api_operation,
       src_ip,
       concat(user_entity, ' started compute in ', cloud_region, ', new for account ', cloud_account_uid, ': ', api_operation) AS title
FROM api_activity
WHERE (api_operation IN ('RunInstances', 'RequestSpotInstances', 'RequestSpotFleet', 'CreateFleet', 'RunTask',
                         'CreateNotebookInstance', 'CreateTrainingJob', 'SubmitJob', 'CreateNodegroup')
       OR api_operation LIKE 'CreateFunction2%')
  AND status = 'Success'
  AND cloud_account_uid IS NOT NULL
  AND cloud_region IS NOT NULL
  AND first_seen(INTERVAL '30 days', cloud_account_uid, cloud_region)
/*--- tests
- name: a second region fires, both are new to us
  events:
    - &run {t: +0s, table: api_activity, status: Success, user_entity: ann, cloud_account_uid: "111122223333", cloud_region: eu-central-1, api_operation: RunInstances}
    - {<<: *run, t: +1h, cloud_region: ap-south-1}
  expect: [{cloud_region: eu-central-1}, {cloud_region: ap-south-1, user_entity: ann}]
- name: another user in a known region is quiet
  events:
    - *run
    - {<<: *run, t: +1h, user_entity: bob}
  expect: [{user_entity: ann}]
- name: a refused start is quiet and teaches nothing
  events: [{<<: *run, status: Failure}]
  expect: []
- name: other calls are quiet
  events: [{<<: *run, api_operation: CreateLogStream}]
  expect: []
- name: a region used exactly thirty days ago is known
  events:
    - *run
    - {<<: *run, t: +30d}
  expect: [{cloud_region: eu-central-1, time: +0s}]
- name: one second more and it is new
  events:
    - *run
    - {<<: *run, t: +2592001s}
  expect: [{time: +0s}, {time: +2592001s}]
- name: a late earlier start takes over as the first
  events:
    - {<<: *run, t: +5m}
    - {<<: *run, t: +6m, cloud_region: eu-west-1}
    - {<<: *run, t: +2m}
  expect: [{cloud_region: eu-central-1, time: +2m}, {cloud_region: eu-west-1}]
---*/

/*---
id: cloud.first_seen_region
title: Change in a region new for the principal
severity: medium
status: stable
description: A principal changed something in a region in which it changed nothing during the last thirty days. Mining and hiding happen where nobody looks.
attack: [TA0005, T1535]
entity: {user_entity: user}
risk: 15
suppression: {by: [user_entity, cloud_region], for: 24h}
false_positives:
  - The planned use of a new region
  - The first change of a new principal
runbook: Ask the owner of the principal. List what was created in that region.
references: ["https://attack.mitre.org/techniques/T1535/"]
---*/
SELECT time,
       user_entity,
       cloud_region,
       cloud_account_uid,
       api_service,
       api_operation,
       src_ip,
       concat(user_entity, ' changed something in ', cloud_region, ' for the first time in 30 days: ', api_operation) AS title
FROM api_activity
WHERE status = 'Success'
  AND is_read_only IS FALSE
  AND cloud_provider = 'AWS'
  AND user_entity IS NOT NULL
  AND cloud_region IS NOT NULL
  AND first_seen(INTERVAL '30 days', user_entity, cloud_region)
/*--- tests
- name: a second region fires, both are new to us
  events:
    - &run {t: +0s, table: api_activity, cloud_provider: AWS, status: Success, is_read_only: false, user_entity: ann, cloud_region: eu-central-1, api_operation: RunInstances}
    - {<<: *run, t: +1h, cloud_region: ap-south-1}
  expect: [{cloud_region: eu-central-1}, {cloud_region: ap-south-1, user_entity: ann}]
- name: reads are quiet and teach nothing
  events: [{<<: *run, is_read_only: true, api_operation: DescribeInstances}]
  expect: []
- name: a region used exactly thirty days ago is known
  events:
    - *run
    - {<<: *run, t: +30d}
  expect: [{cloud_region: eu-central-1, time: +0s}]
- name: a late earlier change takes over as the first
  events:
    - {<<: *run, t: +5m}
    - {<<: *run, t: +6m, user_entity: bob}
    - {<<: *run, t: +2m}
  expect: [{user_entity: ann, time: +2m}, {user_entity: bob}]
---*/

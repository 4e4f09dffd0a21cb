/*---
id: cloud.gpu_instances_launched
title: Large or GPU instances launched
severity: medium
status: stable
description: Instances of a GPU or accelerator family were launched, or somebody tried to. The usual use of stolen cloud access is mining.
attack: [TA0040, TA0112, T1496, T1578.002]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity, cloud_region], for: 1h}
false_positives:
  - A team that trains models
blind_spots:
  - A launch template that hides the type
runbook: Ask the owner of the principal. Stop the instances if nobody knows them and look for more in other regions.
references: ["https://attack.mitre.org/techniques/T1496/"]
---*/
SELECT time,
       user_entity,
       json_get_str(request, 'instanceType') AS instance_type,
       status,
       error_code,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' launched ', json_get_str(request, 'instanceType'), ' in ', cloud_region, ': ', status) AS title
FROM api_activity
WHERE api_operation IN ('RunInstances', 'RequestSpotInstances')
  AND regexp_like(json_get_str(request, 'instanceType'), '^(p[2-9]|g[3-9]|trn|inf|dl)[0-9a-z-]*[.]')
/*--- tests
- name: a GPU instance is launched
  events:
    - &run {t: +0s, table: api_activity, api_operation: RunInstances, status: Success, user_entity: ann, cloud_region: eu-west-3, request: '{"instanceType":"p3.16xlarge","instancesSet":{"items":[{"imageId":"ami-1","maxCount":10}]}}'}
  expect: [{user_entity: ann, instance_type: p3.16xlarge, title: "ann launched p3.16xlarge in eu-west-3: Success"}]
- name: a refused launch is reported too
  events: [{<<: *run, status: Failure, error_code: Client.UnauthorizedOperation, request: '{"instanceType":"g5.xlarge"}'}]
  expect: [{status: Failure, instance_type: g5.xlarge}]
- name: a small instance is quiet
  events: [{<<: *run, request: '{"instanceType":"t3.micro"}'}]
  expect: []
- name: a launch that names no type is quiet
  events: [{<<: *run, request: '{"launchTemplate":{"launchTemplateId":"lt-1"}}'}]
  expect: []
---*/

/*---
id: cloud.function_changed_by_iam_user
title: Function code or layer changed by an IAM user
severity: medium
status: stable
description: The code of a Lambda function was replaced or a layer put under it by an IAM user. Deployments use roles.
attack: [TA0002, T1648]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - A developer without a pipeline
runbook: Compare the code with the repository. If unknown, restore the last version and look at what the function can reach.
references: ["https://attack.mitre.org/techniques/T1648/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' changed the function ', coalesce(resource_uid, '')) AS title
FROM api_activity
WHERE api_service = 'lambda.amazonaws.com'
  AND user_type = 'IAMUser'
  AND status = 'Success'
  AND (api_operation LIKE 'UpdateFunctionCode%'
       OR (api_operation LIKE 'UpdateFunctionConfiguration%' AND request LIKE '%"layers"%'))
  -- A dry run changes nothing.
  AND (request LIKE '%"dryRun":true%' OR request LIKE '%"dryRun": true%') IS NOT TRUE
/*--- tests
- name: the code is replaced by a user
  events:
    - &code {t: +0s, table: api_activity, api_service: lambda.amazonaws.com, api_operation: UpdateFunctionCode20150331v2, status: Success, user_type: IAMUser, user_entity: ann, resource_uid: pay, request: '{"functionName":"pay","dryRun":false}'}
  expect: [{user_entity: ann, resource_uid: pay}]
- name: a layer is put under it
  events: [{<<: *code, api_operation: UpdateFunctionConfiguration20150331v2, request: '{"functionName":"pay","layers":["arn:aws:lambda:eu-central-1:111122223333:layer:x:1"]}'}]
  expect: [{api_operation: UpdateFunctionConfiguration20150331v2}]
- name: a pipeline with a role is quiet
  events: [{<<: *code, user_type: AssumedRole, user_entity: deploy}]
  expect: []
- name: a dry run is quiet
  events: [{<<: *code, request: '{"functionName":"pay","dryRun":true}'}]
  expect: []
---*/

/*---
id: cloud.function_opened_to_others
title: Function opened to everybody or another account
severity: high
status: stable
description: The policy of a Lambda function was extended so that everybody may call it.
attack: [TA0002, T1648]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - A public function URL that is meant to be public
blind_spots:
  - A statement for one foreign account
runbook: Remove the statement unless the function is public on purpose. Look at its invocations since.
references: ["https://attack.mitre.org/techniques/T1648/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       json_get_str(request, 'principal') AS principal,
       concat(user_entity, ' let everybody call ', coalesce(resource_uid, 'a function')) AS title
FROM api_activity
WHERE api_operation LIKE 'AddPermission%'
  AND api_service = 'lambda.amazonaws.com'
  AND json_get_str(request, 'principal') = '*'
  AND status = 'Success'
/*--- tests
- name: everybody may call it
  events:
    - &add {t: +0s, table: api_activity, api_service: lambda.amazonaws.com, api_operation: AddPermission20150331v2, status: Success, user_entity: ann, resource_uid: pay, request: '{"functionName":"pay","principal":"*","action":"lambda:InvokeFunction","statementId":"s1"}'}
  expect: [{user_entity: ann, principal: "*", title: ann let everybody call pay}]
- name: a service of the cloud is quiet
  events: [{<<: *add, request: '{"functionName":"pay","principal":"s3.amazonaws.com"}'}]
  expect: []
---*/

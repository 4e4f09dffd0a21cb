/*---
id: cloud.ssm_command_by_iam_user
title: Shell command sent to instances by an IAM user
severity: medium
status: stable
description: An IAM user ran a shell document on instances through Systems Manager. Automation does this with roles, so a person or a leaked key is behind it.
attack: [TA0002, T1651]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - An administrator without a role of their own
runbook: Read the command in the history of Systems Manager. Ask the owner of the user.
references: ["https://attack.mitre.org/techniques/T1651/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       json_get_str(request, 'documentName') AS document,
       concat(user_entity, ' ran ', json_get_str(request, 'documentName'), ' on instances from ', src_ip) AS title
FROM api_activity
WHERE api_operation = 'SendCommand'
  AND user_type = 'IAMUser'
  AND json_get_str(request, 'documentName') IN ('AWS-RunShellScript', 'AWS-RunPowerShellScript')
  AND status = 'Success'
/*--- tests
- name: a shell command by a user
  events:
    - &send {t: +0s, table: api_activity, api_operation: SendCommand, status: Success, user_type: IAMUser, user_entity: ann, src_ip: 203.0.113.9, request: '{"documentName":"AWS-RunShellScript","instanceIds":["i-1","i-2"]}'}
  expect: [{user_entity: ann, document: AWS-RunShellScript}]
- name: a role is quiet
  events: [{<<: *send, user_type: AssumedRole, user_entity: patching}]
  expect: []
- name: another document is quiet
  events: [{<<: *send, request: '{"documentName":"AWS-ApplyPatchBaseline"}'}]
  expect: []
---*/

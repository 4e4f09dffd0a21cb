/*---
id: cloud.organization_left
title: Account tried to leave its organisation
severity: high
status: stable
description: An account left or tried to leave its AWS organisation, which would free it from guard-rails and central logs. A refused attempt is reported too.
attack: [TA0112, T1685.002, T1666]
entity: {user_entity: user}
risk: 40
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A planned move of an account between organisations
runbook: Nobody calls this by mistake. Confirm with the owner of the organisation, then suspend the principal.
references: ["https://attack.mitre.org/techniques/T1666/"]
---*/
SELECT time,
       user_entity,
       status,
       error_code,
       cloud_account_uid,
       src_ip,
       concat(user_entity, ' tried to take account ', cloud_account_uid, ' out of its organisation: ', status) AS title
FROM api_activity
WHERE api_operation IN ('LeaveOrganization', 'RemoveAccountFromOrganization')
/*--- tests
- name: a refused attempt is reported
  events:
    - &leave {t: +0s, table: api_activity, api_service: organizations.amazonaws.com, api_operation: LeaveOrganization, status: Failure, error_code: AccessDenied, user_entity: ann, cloud_account_uid: "111122223333"}
  expect: [{user_entity: ann, status: Failure}]
- name: a look at the organisation is quiet
  events: [{<<: *leave, api_operation: DescribeOrganization}]
  expect: []
---*/

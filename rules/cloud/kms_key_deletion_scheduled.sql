/*---
id: cloud.kms_key_deletion_scheduled
title: Encryption key disabled or to be deleted
severity: high
status: stable
description: A customer key of KMS was disabled or its deletion scheduled. What is encrypted with it cannot be read from then on, as somebody wants who holds data to ransom.
attack: [TA0040, T1485]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - A test environment that is taken down
  - Keys that were replaced and are retired as planned
runbook: Cancel the deletion or enable the key again; a scheduled deletion waits at least seven days. Then ask who did it, and look for backups deleted by the same principal.
references: ["https://attack.mitre.org/techniques/T1485/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       coalesce(resource_uid, json_get_str(request, 'keyId')) AS resource_uid,
       json_get_int(request, 'pendingWindowInDays') AS days_left,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, CASE api_operation WHEN 'DisableKey' THEN ' disabled' ELSE ' scheduled the deletion of' END, ' the key ', coalesce(resource_uid, json_get_str(request, 'keyId'))) AS title
FROM api_activity
WHERE api_service = 'kms.amazonaws.com'
  AND api_operation IN ('ScheduleKeyDeletion', 'DisableKey')
  AND status = 'Success'
/*--- tests
- name: a deletion is scheduled
  events:
    - &schedule {t: +0s, table: api_activity, api_service: kms.amazonaws.com, api_operation: ScheduleKeyDeletion, status: Success, user_entity: ann, request: '{"keyId":"k-1","pendingWindowInDays":7}'}
  expect: [{user_entity: ann, resource_uid: k-1, days_left: 7, title: ann scheduled the deletion of the key k-1}]
- name: a key is disabled
  events: [{<<: *schedule, api_operation: DisableKey, request: '{"keyId":"k-1"}'}]
  expect: [{title: ann disabled the key k-1, days_left: null}]
- name: a refused attempt is quiet
  events: [{<<: *schedule, status: Failure}]
  expect: []
- name: the cancellation is quiet
  events: [{<<: *schedule, api_operation: CancelKeyDeletion}]
  expect: []
---*/

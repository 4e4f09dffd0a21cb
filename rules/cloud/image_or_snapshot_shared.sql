/*---
id: cloud.image_or_snapshot_shared
title: Image or snapshot shared outside the account
severity: high
status: stable
description: A machine image, disk snapshot or database snapshot was shared with another account or with everybody.
attack: [TA0010, T1537]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - A golden image for the accounts of the own organisation
runbook: Look the account up. Take the share back and treat what the image holds as copied.
references: ["https://attack.mitre.org/techniques/T1537/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       request,
       concat(user_entity, ' shared ', coalesce(resource_uid, json_get_str(request, 'dBSnapshotIdentifier'), 'a snapshot'), ' outside the account') AS title
FROM api_activity
WHERE status = 'Success'
  AND ((api_operation IN ('ModifyImageAttribute', 'ModifySnapshotAttribute')
        AND (request LIKE '%"add"%' OR request LIKE '%"operationType":"add"%')
        AND (request LIKE '%"userId"%' OR request LIKE '%"group"%'))
       OR (api_operation IN ('ModifyDBSnapshotAttribute', 'ModifyDBClusterSnapshotAttribute')
           AND request LIKE '%"valuesToAdd"%'))
/*--- tests
- name: an image shared with an account
  events:
    - &share {t: +0s, table: api_activity, api_operation: ModifyImageAttribute, status: Success, user_entity: ann, resource_uid: ami-1, request: '{"imageId":"ami-1","launchPermission":{"add":{"items":[{"userId":"999988887777"}]}}}'}
  expect: [{user_entity: ann, resource_uid: ami-1}]
- name: a snapshot made public
  events: [{<<: *share, api_operation: ModifySnapshotAttribute, resource_uid: snap-1, request: '{"snapshotId":"snap-1","createVolumePermission":{"add":{"items":[{"group":"all"}]}}}'}]
  expect: [{resource_uid: snap-1}]
- name: a database snapshot shared
  events: [{<<: *share, api_operation: ModifyDBSnapshotAttribute, resource_uid: null, request: '{"dBSnapshotIdentifier":"db-1","attributeName":"restore","valuesToAdd":["999988887777"]}'}]
  expect: [{title: ann shared db-1 outside the account}]
- name: a share taken back is quiet
  events: [{<<: *share, request: '{"imageId":"ami-1","launchPermission":{"remove":{"items":[{"userId":"999988887777"}]}}}'}]
  expect: []
- name: a refused share is quiet
  events: [{<<: *share, status: Failure}]
  expect: []
---*/

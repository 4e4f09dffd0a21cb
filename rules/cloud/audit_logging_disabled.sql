/*---
id: cloud.audit_logging_disabled
title: Cloud audit trail stopped or narrowed
severity: high
status: stable
description: A CloudTrail trail or event data store was stopped, deleted, or told to leave events out.
attack: [TA0112, T1685.002]
entity: {user_entity: user}
risk: 40
suppression: {by: [user_entity, api_operation], for: 1h}
false_positives:
  - Removal of a trail that an organisation trail replaced
blind_spots:
  - A trail whose bucket or key was made unusable
runbook: Start the trail again. List what the principal did from an hour before until now, other trails and the event history of the account still have it.
references: ["https://attack.mitre.org/techniques/T1685/002/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' called ', api_operation, ' on ', coalesce(resource_uid, json_get_str(request, 'trailName'), 'a trail')) AS title
FROM api_activity
WHERE api_service = 'cloudtrail.amazonaws.com'
  AND status = 'Success'
  AND (
    api_operation IN ('StopLogging', 'DeleteTrail', 'StopEventDataStoreIngestion', 'DeleteEventDataStore')
    -- Selectors that leave management events out, or keep only reads.
    OR (api_operation = 'PutEventSelectors'
        AND (request LIKE '%"includeManagementEvents":false%' OR request LIKE '%"includeManagementEvents": false%'
             OR request LIKE '%"readWriteType":"ReadOnly"%' OR request LIKE '%"readWriteType": "ReadOnly"%'))
  )
/*--- tests
- name: a trail is stopped
  events:
    - &stop {t: +0s, table: api_activity, api_service: cloudtrail.amazonaws.com, api_operation: StopLogging, status: Success, user_entity: ann, resource_uid: org-trail}
  expect: [{user_entity: ann, api_operation: StopLogging, title: ann called StopLogging on org-trail}]
- name: selectors without management events
  events: [{<<: *stop, api_operation: PutEventSelectors, request: '{"trailName":"t1","eventSelectors":[{"includeManagementEvents":false,"readWriteType":"All"}]}'}]
  expect: [{api_operation: PutEventSelectors}]
- name: selectors that keep everything are quiet
  events: [{<<: *stop, api_operation: PutEventSelectors, request: '{"trailName":"t1","eventSelectors":[{"includeManagementEvents":true,"readWriteType":"All"}]}'}]
  expect: []
- name: a refused stop is quiet
  events: [{<<: *stop, status: Failure, error_code: AccessDenied}]
  expect: []
- name: starting a trail is quiet
  events: [{<<: *stop, api_operation: StartLogging}]
  expect: []
---*/

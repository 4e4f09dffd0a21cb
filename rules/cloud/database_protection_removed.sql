/*---
id: cloud.database_protection_removed
title: Deletion protection of a database switched off
severity: medium
status: stable
description: The protection that keeps an RDS instance or cluster from being deleted was switched off, or its automatic backups were.
attack: [TA0040, T1490]
entity: {user_entity: user}
risk: 25
suppression: {by: [user_entity, database], for: 1h}
false_positives:
  - A database that is taken down as planned
runbook: Ask the owner of the database. If it was not planned, switch the protection on, take a snapshot and look for deletions by the same principal.
references: ["https://attack.mitre.org/techniques/T1490/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       coalesce(json_get_str(request, 'dBInstanceIdentifier'), json_get_str(request, 'dBClusterIdentifier')) AS database,
       json_get_int(request, 'backupRetentionPeriod') AS backup_days,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' took the protection of ', coalesce(json_get_str(request, 'dBInstanceIdentifier'), json_get_str(request, 'dBClusterIdentifier')), ' away') AS title
FROM api_activity
WHERE api_service = 'rds.amazonaws.com'
  AND api_operation IN ('ModifyDBInstance', 'ModifyDBCluster')
  AND status = 'Success'
  AND (json_get_bool(request, 'deletionProtection') IS FALSE OR json_get_int(request, 'backupRetentionPeriod') = 0)
/*--- tests
- name: the protection is switched off
  events:
    - &off {t: +0s, table: api_activity, api_service: rds.amazonaws.com, api_operation: ModifyDBInstance, status: Success, user_entity: ann, request: '{"dBInstanceIdentifier":"orders","deletionProtection":false}'}
  expect: [{user_entity: ann, database: orders, title: ann took the protection of orders away}]
- name: no backups any more
  events: [{<<: *off, request: '{"dBInstanceIdentifier":"orders","backupRetentionPeriod":0}'}]
  expect: [{backup_days: 0}]
- name: the protection is switched on
  events: [{<<: *off, request: '{"dBInstanceIdentifier":"orders","deletionProtection":true,"backupRetentionPeriod":7}'}]
  expect: []
- name: another change says nothing of it
  events: [{<<: *off, request: '{"dBInstanceIdentifier":"orders","engineVersion":"16.3"}'}]
  expect: []
- name: a refused change is quiet
  events: [{<<: *off, status: Failure}]
  expect: []
---*/

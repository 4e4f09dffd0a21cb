/*---
id: cloud.database_password_changed
title: Master password of a database changed
severity: medium
status: stable
description: The master password of an RDS instance or cluster was set through the API. Who may call it needs no password of the database to read all of it.
attack: [TA0003, T1098]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity, database], for: 1h}
false_positives:
  - A rotation of passwords that is not done by Secrets Manager
runbook: Ask who set it. Look at the connections to the database since then, and for snapshots shared by the same principal.
references: ["https://attack.mitre.org/techniques/T1098/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       coalesce(json_get_str(request, 'dBInstanceIdentifier'), json_get_str(request, 'dBClusterIdentifier')) AS database,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' set the master password of ', coalesce(json_get_str(request, 'dBInstanceIdentifier'), json_get_str(request, 'dBClusterIdentifier'))) AS title
FROM api_activity
WHERE api_service = 'rds.amazonaws.com'
  AND api_operation IN ('ModifyDBInstance', 'ModifyDBCluster')
  AND status = 'Success'
  -- The password itself is masked; that it was given is there.
  AND json_contains(request, 'masterUserPassword')
/*--- tests
- name: the password of an instance
  events:
    - &set {t: +0s, table: api_activity, api_service: rds.amazonaws.com, api_operation: ModifyDBInstance, status: Success, user_entity: ann, request: '{"dBInstanceIdentifier":"orders","masterUserPassword":"****","applyImmediately":true}'}
  expect: [{user_entity: ann, database: orders, title: ann set the master password of orders}]
- name: of a cluster
  events: [{<<: *set, api_operation: ModifyDBCluster, request: '{"dBClusterIdentifier":"orders","masterUserPassword":"****"}'}]
  expect: [{database: orders}]
- name: another change of the instance is quiet
  events: [{<<: *set, request: '{"dBInstanceIdentifier":"orders","backupRetentionPeriod":7}'}]
  expect: []
- name: a refused change is quiet
  events: [{<<: *set, status: Failure}]
  expect: []
---*/

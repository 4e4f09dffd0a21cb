/*---
id: cloud.log_source_removed
title: Cloud log source or detector removed
severity: high
status: stable
description: Flow logs, DNS query logs, the configuration recorder, GuardDuty or a bucket's access log were switched off.
attack: [TA0112, T1685.002, T1685]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, api_operation], for: 1h}
false_positives:
  - Tear-down of a test environment by its pipeline
runbook: Restore the source. Check which network or account it covered and look at what the principal did next there.
references: ["https://attack.mitre.org/techniques/T1685/002/"]
---*/
SELECT time,
       user_entity,
       api_service,
       api_operation,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' removed a log source: ', api_operation) AS title
FROM api_activity
WHERE api_operation IN (
        'DeleteFlowLogs', 'DeleteResolverQueryLogConfig', 'DisassociateResolverQueryLogConfig',
        'StopConfigurationRecorder', 'DeleteConfigurationRecorder', 'DeleteDeliveryChannel',
        'DeleteDetector', 'DisassociateFromMasterAccount', 'DisableSecurityHub',
        'DeleteLogGroup', 'DeleteLogStream', 'DeleteModelInvocationLoggingConfiguration')
  AND status = 'Success'
/*--- tests
- name: flow logs of a network removed
  events:
    - &remove {t: +0s, table: api_activity, api_service: ec2.amazonaws.com, api_operation: DeleteFlowLogs, status: Success, user_entity: ann}
  expect: [{user_entity: ann, api_operation: DeleteFlowLogs}]
- name: creating flow logs is quiet
  events: [{<<: *remove, api_operation: CreateFlowLogs}]
  expect: []
- name: a refused removal is quiet
  events: [{<<: *remove, status: Failure}]
  expect: []
---*/

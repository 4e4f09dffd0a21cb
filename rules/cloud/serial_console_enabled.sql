/*---
id: cloud.serial_console_enabled
title: Serial console access enabled
severity: high
status: stable
description: Access to the serial console of instances was enabled for the whole account. It passes by security groups and network logs.
attack: [TA0008, T1021.008]
entity: {user_entity: user}
risk: 25
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A rescue of a machine that does not boot
runbook: Disable it unless a rescue is under way. Look for SendSerialConsoleSSHPublicKey by the same principal.
references: ["https://attack.mitre.org/techniques/T1021/008/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' enabled the serial console in account ', cloud_account_uid) AS title
FROM api_activity
WHERE api_operation = 'EnableSerialConsoleAccess'
  AND status = 'Success'
/*--- tests
- name: the serial console is enabled
  events:
    - &enable {t: +0s, table: api_activity, api_operation: EnableSerialConsoleAccess, status: Success, user_entity: ann, cloud_account_uid: "111122223333"}
  expect: [{user_entity: ann, title: ann enabled the serial console in account 111122223333}]
- name: disabling it is quiet
  events: [{<<: *enable, api_operation: DisableSerialConsoleAccess}]
  expect: []
---*/

/*---
id: cloud.root_console_login
title: Root signed in to the cloud console
severity: high
status: stable
description: The root user of an account signed in, or tried to.
attack: [TA0001, TA0004, T1078.004]
entity: {user_entity: user, src_ip: ip}
risk: 30
suppression: {by: [user_entity], for: 1h}
false_positives:
  - The few tasks that need root, done with a second person present
runbook: Confirm with the account owner. Root without MFA is an emergency of its own.
references: ["https://attack.mitre.org/techniques/T1078/004/"]
---*/
SELECT time,
       user_entity,
       status,
       is_mfa,
       src_ip,
       cloud_account_uid,
       user_agent,
       concat('root sign-in to account ', cloud_account_uid, ' from ', src_ip, ': ', status, CASE WHEN is_mfa IS TRUE THEN ' with MFA' ELSE ' without MFA' END) AS title
FROM authentication
WHERE user_type = 'Root'
  AND event_code = 'ConsoleLogin'
/*--- tests
- name: root signs in
  events:
    - &root {t: +0s, table: authentication, source: aws.cloudtrail, event_code: ConsoleLogin, user_type: Root, user_entity: root@111122223333, status: Success, is_mfa: false, src_ip: 203.0.113.9, cloud_account_uid: "111122223333"}
  expect: [{user_entity: root@111122223333, is_mfa: false, title: "root sign-in to account 111122223333 from 203.0.113.9: Success without MFA"}]
- name: an IAM user is quiet
  events: [{<<: *root, user_type: IAMUser, user_entity: ann}]
  expect: []
---*/

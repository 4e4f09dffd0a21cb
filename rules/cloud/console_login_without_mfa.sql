/*---
id: cloud.console_login_without_mfa
title: Console sign-in of an IAM user without MFA
severity: medium
status: stable
description: An IAM user signed in to the console with a password alone.
attack: [TA0001, T1078.004]
entity: {user_entity: user, src_ip: ip}
risk: 15
suppression: {by: [user_entity], for: 24h}
false_positives:
  - A user whose second factor is asked for by other means
blind_spots:
  - Federated sign-ins, whose factor is checked by the identity provider
runbook: Require MFA for the user. Compare the address with earlier sign-ins.
references: ["https://attack.mitre.org/techniques/T1078/004/"]
---*/
SELECT time,
       user_entity,
       src_ip,
       src_country,
       cloud_account_uid,
       user_agent,
       concat(user_entity, ' signed in to the console of ', cloud_account_uid, ' without MFA from ', src_ip) AS title
FROM authentication
WHERE event_code = 'ConsoleLogin'
  AND status = 'Success'
  AND user_type = 'IAMUser'
  AND is_mfa IS FALSE
/*--- tests
- name: a password alone
  events:
    - &login {t: +0s, table: authentication, source: aws.cloudtrail, event_code: ConsoleLogin, user_type: IAMUser, user_entity: ann, status: Success, is_mfa: false, src_ip: 203.0.113.9, cloud_account_uid: "111122223333"}
  expect: [{user_entity: ann, src_ip: 203.0.113.9}]
- name: with a second factor it is quiet
  events: [{<<: *login, is_mfa: true}]
  expect: []
- name: through an identity provider it is quiet
  events: [{<<: *login, user_type: AssumedRole}]
  expect: []
- name: unknown is not without
  events: [{<<: *login, is_mfa: null}]
  expect: []
---*/

/*---
id: cloud.console_password_set_for_other_user
title: Console password set for another user
severity: high
status: stable
description: A principal gave another IAM user a console password or changed it.
attack: [TA0003, TA0004, T1098]
entity: {actor_user_entity: user, user_entity: user}
risk: 30
suppression: {by: [actor_user_entity, user_entity], for: 1h}
false_positives:
  - An administrator who on-boards or resets a user
runbook: Ask the user. Look for a console sign-in of that user within the next hour.
references: ["https://attack.mitre.org/techniques/T1098/"]
---*/
SELECT time,
       actor_user_entity,
       user_entity,
       event_code,
       cloud_account_uid,
       src_ip,
       concat(actor_user_entity, ' set the console password of ', user_entity) AS title
FROM identity_change
WHERE event_code IN ('CreateLoginProfile', 'UpdateLoginProfile')
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND actor_user_entity IS NOT NULL
  AND user_entity <> actor_user_entity
/*--- tests
- name: a password for somebody else
  events:
    - &set {t: +0s, table: identity_change, source: aws.cloudtrail, change: password_reset, event_code: UpdateLoginProfile, status: Success, user_entity: bob, actor_user_entity: ann}
  expect: [{actor_user_entity: ann, user_entity: bob}]
- name: one's own password is quiet
  events: [{<<: *set, actor_user_entity: bob}]
  expect: []
- name: a removed password is quiet
  events: [{<<: *set, event_code: DeleteLoginProfile}]
  expect: []
---*/

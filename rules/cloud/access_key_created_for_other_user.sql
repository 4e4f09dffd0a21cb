/*---
id: cloud.access_key_created_for_other_user
title: Access key created for another user
severity: high
status: stable
description: A principal created a long-lived access key for an IAM user that is not its own.
attack: [TA0003, TA0004, T1098.001]
entity: {actor_user_entity: user, user_entity: user}
risk: 35
suppression: {by: [actor_user_entity, user_entity], for: 1h}
false_positives:
  - A pipeline that creates technical users and their keys
runbook: Ask the owner of the user. Deactivate the key until answered, then look for its use in every region.
references: ["https://attack.mitre.org/techniques/T1098/001/"]
---*/
SELECT time,
       actor_user_entity,
       user_entity,
       new_value AS access_key,
       cloud_account_uid,
       src_ip,
       user_agent,
       concat(actor_user_entity, ' created an access key for ', user_entity) AS title
FROM identity_change
WHERE change = 'key_created'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND actor_user_entity IS NOT NULL
  AND user_entity <> actor_user_entity
/*--- tests
- name: a key for somebody else
  events:
    - &key {t: +0s, table: identity_change, source: aws.cloudtrail, change: key_created, status: Success, user_entity: bob, actor_user_entity: ann, new_value: AKIAEXAMPLE2}
  expect: [{actor_user_entity: ann, user_entity: bob, access_key: AKIAEXAMPLE2}]
- name: a key of one's own is quiet
  events: [{<<: *key, user_entity: ann}]
  expect: []
- name: a refused creation is quiet
  events: [{<<: *key, status: Failure}]
  expect: []
---*/

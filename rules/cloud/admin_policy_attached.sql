/*---
id: cloud.admin_policy_attached
title: Administrator policy attached
severity: high
status: stable
description: A managed policy with full rights was attached to a user, role or group.
attack: [TA0003, TA0004, T1098.003]
entity: {actor_user_entity: user, user_entity: user}
risk: 35
suppression: {by: [actor_user_entity, user_entity], for: 1h}
false_positives:
  - The set-up of an account by its pipeline
blind_spots:
  - A policy of one's own with the same rights, inline or managed
runbook: Detach it unless a change record explains it. Review what the target did since.
references: ["https://attack.mitre.org/techniques/T1098/003/"]
---*/
SELECT time,
       actor_user_entity,
       user_entity,
       target_group,
       target_role,
       event_code,
       cloud_account_uid,
       src_ip,
       concat(actor_user_entity, ' attached ', target_role, ' to ', coalesce(user_entity, target_group)) AS title
FROM identity_change
WHERE event_code IN ('AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy')
  AND (target_role LIKE '%:policy/AdministratorAccess' OR target_role LIKE '%:policy/IAMFullAccess' OR target_role LIKE '%:policy/PowerUserAccess')
  AND status = 'Success'
/*--- tests
- name: full rights for a user
  events:
    - &attach {t: +0s, table: identity_change, source: aws.cloudtrail, change: role_assigned, event_code: AttachUserPolicy, status: Success, user_entity: bob, actor_user_entity: ann, target_role: "arn:aws:iam::aws:policy/AdministratorAccess"}
  expect: [{actor_user_entity: ann, user_entity: bob}]
- name: a read-only policy is quiet
  events: [{<<: *attach, target_role: "arn:aws:iam::aws:policy/ReadOnlyAccess"}]
  expect: []
- name: detaching is quiet
  events: [{<<: *attach, event_code: DetachUserPolicy, change: role_revoked}]
  expect: []
---*/

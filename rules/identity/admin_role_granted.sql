/*---
id: identity.admin_role_granted
title: Administrator role granted in the identity provider
severity: high
status: stable
description: A user or group was given an administrator role in the identity provider.
attack: [TA0003, TA0004, T1098.003]
entity: {actor_user_entity: user, user_entity: user}
risk: 25
suppression: {by: [actor_user_entity, user_entity], for: 1h}
false_positives:
  - On-boarding of an administrator with a ticket
runbook: Find the ticket or ask the administrator on a second channel. Without one, revoke the role and review what both accounts did since.
references: ["https://attack.mitre.org/techniques/T1098/003/"]
---*/
SELECT time,
       actor_user_entity,
       user_entity,
       target_group,
       target_role,
       src_ip,
       src_country,
       concat(actor_user_entity, ' granted ', coalesce(target_role, 'an administrator role'), ' to ', coalesce(user_entity, target_group)) AS title
FROM identity_change
WHERE change = 'role_assigned'
  AND status = 'Success'
  -- In Okta every privilege is an administrator role; clouds have their own rules on policies.
  AND source = 'okta.system'
/*--- tests
- name: a super administrator is made
  events:
    - &grant {t: +0s, table: identity_change, source: okta.system, change: role_assigned, status: Success, actor_user_entity: adm@example.com, user_entity: bob@example.com, target_role: Super administrator}
  expect: [{actor_user_entity: adm@example.com, user_entity: bob@example.com, title: adm@example.com granted Super administrator to bob@example.com}]
- name: a role for a group names the group
  events: [{<<: *grant, user_entity: null, target_group: Helpdesk}]
  expect: [{target_group: Helpdesk, title: adm@example.com granted Super administrator to Helpdesk}]
- name: a failed grant is quiet
  events: [{<<: *grant, status: Failure}]
  expect: []
- name: a role taken away is quiet
  events: [{<<: *grant, change: role_revoked}]
  expect: []
---*/

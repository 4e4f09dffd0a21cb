/*---
id: application.k8s_cluster_admin_bound
title: Full rights in a cluster granted
severity: high
status: stable
description: The role cluster-admin, or the group of cluster masters, was bound to somebody.
attack: [TA0003, TA0004, T1098.006]
entity: {actor_user_entity: user, user_entity: user}
risk: 35
suppression: {by: [actor_user_entity], for: 1h}
false_positives:
  - The set-up of a cluster
runbook: Delete the binding unless a change record explains it. Look at what the subject did since.
references: ["https://attack.mitre.org/techniques/T1098/006/"]
---*/
SELECT time,
       actor_user_entity,
       user_entity,
       target_group,
       target_role,
       event_code,
       src_ip,
       user_agent,
       concat(actor_user_entity, ' bound ', target_role, ' to ', coalesce(user_entity, target_group)) AS title
FROM identity_change
WHERE source = 'kubernetes.audit'
  AND change = 'role_assigned'
  AND (target_role IN ('cluster-admin', 'admin') OR target_group = 'system:masters')
  AND status = 'Success'
  AND (actor_user_name LIKE 'system:kube-%' OR actor_user_name = 'system:apiserver') IS NOT TRUE
/*--- tests
- name: cluster-admin for a user
  events:
    - &bind {t: +0s, table: identity_change, source: kubernetes.audit, change: role_assigned, status: Success, actor_user_name: adm@example.com, actor_user_entity: adm@example.com, user_entity: bob@example.com, target_role: cluster-admin, event_code: create clusterrolebindings}
  expect: [{actor_user_entity: adm@example.com, user_entity: bob@example.com, title: adm@example.com bound cluster-admin to bob@example.com}]
- name: a reader is quiet
  events: [{<<: *bind, target_role: view}]
  expect: []
- name: a removed binding is quiet
  events: [{<<: *bind, change: role_revoked}]
  expect: []
- name: the API server at its start is quiet
  events: [{<<: *bind, actor_user_name: "system:apiserver", actor_user_entity: "system:apiserver"}]
  expect: []
---*/

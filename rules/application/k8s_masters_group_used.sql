/*---
id: application.k8s_masters_group_used
title: Member of system:masters at work
severity: high
status: stable
description: A request of a user in the group `system:masters`. No role limits it and none can take its rights away; it is meant for the first minutes of a cluster and for emergencies.
attack: [TA0004, T1078]
entity: {user_entity: user, src_ip: ip}
risk: 30
suppression: {by: [user_entity, src_ip], for: 24h}
false_positives:
  - A cluster whose administrators have no other credentials yet
  - The certificate of an emergency, when there is one
runbook: Ask whose certificate it is. It is valid until it expires; to end it the authority of the cluster has to be changed.
references: ["https://kubernetes.io/docs/concepts/security/rbac-good-practices/"]
---*/
SELECT time,
       user_entity,
       actor_user_entity,
       api_operation,
       resource_uid,
       src_ip,
       user_agent,
       concat(user_entity, ' acts as a member of system:masters: ', api_operation) AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND (array_has(user_groups, 'system:masters') OR array_has(actor_user_groups, 'system:masters'))
  -- The API server speaks to itself in this group.
  AND (user_name = 'system:apiserver') IS NOT TRUE
/*--- tests
- name: a certificate of the group
  events:
    - &use {t: +0s, table: api_activity, source: kubernetes.audit, user_name: kubernetes-admin, user_entity: kubernetes-admin, user_groups: ["system:masters", "system:authenticated"], api_operation: get pods, src_ip: 203.0.113.9}
  expect: [{user_entity: kubernetes-admin, title: "kubernetes-admin acts as a member of system:masters: get pods"}]
- name: a member that impersonates another
  events: [{<<: *use, user_name: ann, user_entity: ann, user_groups: [developers], actor_user_entity: kubernetes-admin, actor_user_groups: ["system:masters"]}]
  expect: [{user_entity: ann, actor_user_entity: kubernetes-admin}]
- name: another group is quiet
  events: [{<<: *use, user_groups: ["system:authenticated"]}]
  expect: []
- name: the API server itself is quiet
  events: [{<<: *use, user_name: "system:apiserver"}]
  expect: []
- name: as the API server records it
  events:
    - {t: +0s, source: kubernetes.audit, raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"m-1","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"list","user":{"username":"kubernetes-admin","groups":["system:masters"]},"sourceIPs":["203.0.113.9"],"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z"}'}
  expect: [{user_entity: kubernetes-admin}]
---*/

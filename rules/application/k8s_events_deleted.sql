/*---
id: application.k8s_events_deleted
title: Events of a cluster deleted
severity: medium
status: stable
description: Somebody deleted events of Kubernetes, which tell what happened to workloads. They go away by themselves after an hour, so there is little reason to.
attack: [TA0005, T1070]
entity: {user_entity: user, actor_user_entity: user}
risk: 20
suppression: {by: [user_entity, k8s_namespace], for: 1h}
false_positives:
  - A script that tidies up a test namespace
runbook: Look at what the same caller did in the namespace in the hour before. The audit log still has it.
references: ["https://attack.mitre.org/techniques/T1070/"]
---*/
SELECT time,
       user_entity,
       actor_user_entity,
       k8s_namespace,
       resource_name,
       api_operation,
       src_ip,
       user_agent,
       concat(user_entity, ' deleted events of ', coalesce(k8s_namespace, 'all namespaces')) AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND api_operation IN ('delete events', 'deletecollection events')
  AND status = 'Success'
  -- Namespaces take their events with them when they are deleted.
  AND (user_name = 'system:serviceaccount:kube-system:namespace-controller') IS NOT TRUE
/*--- tests
- name: all events of a namespace
  events:
    - &delete {t: +0s, table: api_activity, source: kubernetes.audit, api_operation: deletecollection events, status: Success, user_name: ann@example.com, user_entity: ann@example.com, k8s_namespace: shop}
  expect: [{user_entity: ann@example.com, title: ann@example.com deleted events of shop}]
- name: one event
  events: [{<<: *delete, api_operation: delete events, resource_name: web-1.17a}]
  expect: [{resource_name: web-1.17a}]
- name: a refused request is quiet
  events: [{<<: *delete, status: Failure}]
  expect: []
- name: a namespace that goes with its events is quiet
  events: [{<<: *delete, user_name: "system:serviceaccount:kube-system:namespace-controller", user_entity: "system:serviceaccount:kube-system:namespace-controller"}]
  expect: []
- name: deleting pods is quiet
  events: [{<<: *delete, api_operation: deletecollection pods}]
  expect: []
---*/

/*---
id: application.k8s_secrets_listed
title: Secrets of a cluster listed
severity: high
status: stable
description: Somebody listed secrets across all namespaces, or a service account listed those of a namespace. The list holds the values.
attack: [TA0006, T1552.007]
entity: {user_entity: user, actor_user_entity: user}
risk: 30
suppression: {by: [user_entity], for: 1h}
false_positives:
  - An operator that manages secrets
runbook: Check what the caller is. Rotate the secrets in reach if it is not a known controller.
references: ["https://attack.mitre.org/techniques/T1552/007/"]
---*/
SELECT time,
       user_entity,
       -- Who impersonates the user, if somebody does.
       actor_user_entity,
       user_type,
       k8s_namespace,
       src_ip,
       user_agent,
       concat(user_entity, CASE WHEN actor_user_entity IS NOT NULL THEN concat(' through ', actor_user_entity) ELSE '' END, ' listed the secrets of ', coalesce(k8s_namespace, 'all namespaces')) AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND api_operation IN ('list secrets', 'watch secrets')
  AND status = 'Success'
  AND (k8s_namespace IS NULL OR user_type = 'Service')
  -- The control plane itself does so all the time.
  AND (user_name LIKE 'system:serviceaccount:kube-system:%' OR user_name LIKE 'system:kube-%' OR user_name LIKE 'system:node:%' OR user_name = 'system:apiserver') IS NOT TRUE
/*--- tests
- name: all secrets of the cluster
  events:
    - &list {t: +0s, table: api_activity, source: kubernetes.audit, api_operation: list secrets, status: Success, user_name: ann@example.com, user_entity: ann@example.com, user_type: User}
  expect: [{user_entity: ann@example.com, title: ann@example.com listed the secrets of all namespaces}]
- name: a service account lists a namespace
  events: [{<<: *list, user_name: "system:serviceaccount:shop:web", user_entity: "system:serviceaccount:shop:web", user_type: Service, k8s_namespace: shop}]
  expect: [{k8s_namespace: shop}]
- name: a person who lists one namespace is quiet
  events: [{<<: *list, k8s_namespace: shop}]
  expect: []
- name: the control plane is quiet
  events: [{<<: *list, user_name: "system:kube-controller-manager", user_entity: "system:kube-controller-manager", user_type: System}]
  expect: []
- name: a refused list is quiet
  events: [{<<: *list, status: Failure}]
  expect: []
---*/

/*---
id: application.k8s_pod_exec
title: Command run in a pod
severity: medium
status: stable
description: Somebody opened a shell or ran a command in a running pod.
attack: [TA0002, T1609]
entity: {user_entity: user, actor_user_entity: user}
risk: 15
suppression: {by: [user_entity, k8s_namespace, resource_name], for: 1h}
false_positives:
  - A developer who debugs a test system
runbook: Ask the user. In production, pods are replaced, not entered. Look at what the service account of the pod may do.
references: ["https://attack.mitre.org/techniques/T1609/"]
---*/
SELECT time,
       user_entity,
       -- Who impersonates the user, if somebody does.
       actor_user_entity,
       user_type,
       k8s_namespace,
       resource_name,
       src_ip,
       user_agent,
       concat(user_entity, CASE WHEN actor_user_entity IS NOT NULL THEN concat(' through ', actor_user_entity) ELSE '' END, ' ran a command in the pod ', k8s_namespace, '/', resource_name) AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND resource_type IN ('pods/exec', 'pods/attach')
  AND k8s_verb IN ('create', 'get')
  AND status = 'Success'
/*--- tests
- name: a shell in a pod
  events:
    - &exec {t: +0s, table: api_activity, source: kubernetes.audit, resource_type: pods/exec, k8s_verb: create, status: Success, user_entity: ann@example.com, k8s_namespace: shop, resource_name: web-1}
  expect: [{user_entity: ann@example.com, title: ann@example.com ran a command in the pod shop/web-1}]
- name: a refused shell is quiet
  events: [{<<: *exec, status: Failure}]
  expect: []
- name: the logs of a pod are quiet
  events: [{<<: *exec, resource_type: pods/log, k8s_verb: get}]
  expect: []
---*/

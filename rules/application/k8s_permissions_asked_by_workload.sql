/*---
id: application.k8s_permissions_asked_by_workload
title: Workload asks what it may do
severity: medium
status: stable
description: A service account or a node asked the API server what it may do. Programs know that; somebody with a stolen token does not.
attack: [TA0007, T1069.003]
entity: {user_entity: user, src_ip: ip}
risk: 25
suppression: {by: [user_entity, src_ip], for: 6h}
false_positives:
  - Operators that check their rights when they start
runbook: Find the pod that the address belongs to. Look for secrets read and pods made with the same token afterwards.
references: ["https://attack.mitre.org/techniques/T1069/003/"]
---*/
SELECT time,
       user_entity,
       resource_type,
       src_ip,
       src_ips,
       user_agent,
       concat(user_entity, ' asked what it may do from ', src_ip) AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND resource_type IN ('selfsubjectrulesreviews', 'selfsubjectaccessreviews')
  AND k8s_verb = 'create'
  AND (user_name LIKE 'system:serviceaccount:%' OR user_name LIKE 'system:node:%')
  AND (user_name LIKE 'system:serviceaccount:kube-system:%') IS NOT TRUE
/*--- tests
- name: a service account asks
  events:
    - &ask {t: +0s, table: api_activity, source: kubernetes.audit, resource_type: selfsubjectrulesreviews, k8s_verb: create, status: Success, user_name: "system:serviceaccount:shop:web", user_entity: "system:serviceaccount:shop:web", src_ip: 10.0.3.7, user_agent: kubectl}
  expect: [{user_entity: "system:serviceaccount:shop:web", title: "system:serviceaccount:shop:web asked what it may do from 10.0.3.7"}]
- name: a person asks all the time
  events: [{<<: *ask, user_name: ann@example.com, user_entity: ann@example.com}]
  expect: []
- name: the control plane too
  events: [{<<: *ask, user_name: "system:serviceaccount:kube-system:replicaset-controller"}]
  expect: []
---*/

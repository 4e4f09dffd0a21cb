/*---
id: application.k8s_discovery_burst
title: Many kinds of cluster resources listed
severity: medium
status: stable
description: One caller listed four or more of nodes, namespaces, pods, service accounts, roles and bindings within a minute, as somebody does who looks at what a token can reach.
attack: [TA0007, T1613]
entity: {user_entity: user, src_ip: ip}
risk: 20
suppression: {by: [user_entity, src_ip], for: 6h}
false_positives:
  - A dashboard or an inventory agent that starts
  - An administrator with a tool that lists everything
runbook: Ask whose token it is and whether the client is known. Look for secrets read and shells in pods by the same caller afterwards.
references: ["https://attack.mitre.org/techniques/T1613/"]
---*/
SELECT user_entity,
       src_ip,
       user_agent,
       count(DISTINCT resource_type) AS kinds,
       count(*) AS requests,
       count(*) FILTER (WHERE status = 'Failure') AS refused,
       min(time) AS first_request,
       concat(user_entity, ' listed ', count(DISTINCT resource_type), ' kinds of resources within a minute') AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND k8s_verb IN ('get', 'list')
  AND resource_type IN ('namespaces', 'nodes', 'pods', 'serviceaccounts', 'roles', 'clusterroles', 'rolebindings', 'clusterrolebindings')
  AND user_entity IS NOT NULL
  AND src_ip IS NOT NULL
  AND user_agent IS NOT NULL
  -- The control plane and its nodes do so all the time.
  AND (user_name LIKE 'system:serviceaccount:kube-system:%' OR user_name LIKE 'system:kube-%' OR user_name LIKE 'system:node:%' OR user_name = 'system:apiserver') IS NOT TRUE
GROUP BY user_entity, src_ip, user_agent, sliding(time, INTERVAL '1 minute')
HAVING count(DISTINCT resource_type) >= 4
/*--- tests
- name: four kinds in twenty seconds
  events:
    - &list {t: +0s, table: api_activity, source: kubernetes.audit, k8s_verb: list, status: Success, user_name: ann@example.com, user_entity: ann@example.com, src_ip: 203.0.113.9, user_agent: kubectl, resource_type: namespaces}
    - {<<: *list, t: +5s, resource_type: pods}
    - {<<: *list, t: +10s, resource_type: roles, status: Failure}
    - {<<: *list, t: +20s, resource_type: clusterroles, status: Failure}
  expect: [{user_entity: ann@example.com, kinds: 4, requests: 4, refused: 2}]
- name: three kinds are quiet
  events:
    - *list
    - {<<: *list, t: +5s, resource_type: pods}
    - {<<: *list, t: +10s, resource_type: roles}
    - {<<: *list, t: +20s, resource_type: roles}
  expect: []
- name: exactly a minute counts
  events:
    - *list
    - {<<: *list, t: +5s, resource_type: pods}
    - {<<: *list, t: +10s, resource_type: roles}
    - {<<: *list, t: +60s, resource_type: nodes}
  expect: [{kinds: 4}]
- name: a second more does not
  events:
    - *list
    - {<<: *list, t: +5s, resource_type: pods}
    - {<<: *list, t: +10s, resource_type: roles}
    - {<<: *list, t: +61s, resource_type: nodes}
  expect: []
- name: a late fourth kind fires
  events:
    - *list
    - {<<: *list, t: +5s, resource_type: pods}
    - {<<: *list, t: +10s, resource_type: roles}
    - {<<: *list, t: +5m, user_entity: bob@example.com}
    - {<<: *list, t: +20s, resource_type: nodes}
  expect: [{user_entity: ann@example.com, kinds: 4}]
- name: two clients are not one
  events:
    - *list
    - {<<: *list, t: +5s, resource_type: pods}
    - {<<: *list, t: +10s, resource_type: roles, user_agent: curl}
    - {<<: *list, t: +20s, resource_type: nodes, user_agent: curl}
  expect: []
- name: a node is quiet
  events:
    - {<<: *list, user_name: "system:node:n1"}
    - {<<: *list, t: +5s, resource_type: pods, user_name: "system:node:n1"}
    - {<<: *list, t: +10s, resource_type: roles, user_name: "system:node:n1"}
    - {<<: *list, t: +20s, resource_type: nodes, user_name: "system:node:n1"}
  expect: []
---*/

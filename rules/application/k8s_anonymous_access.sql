/*---
id: application.k8s_anonymous_access
title: Cluster answered an anonymous request
severity: high
status: stable
description: The API server answered a request without credentials on something other than its health pages.
attack: [TA0001, T1190, T1133]
entity: {src_ip: ip}
risk: 30
suppression: {by: [src_ip, api_operation], for: 1h}
false_positives:
  - A cluster that publishes its discovery information on purpose
runbook: Find the binding for system:anonymous or system:unauthenticated and delete it. Close the API server to the Internet.
references: ["https://attack.mitre.org/techniques/T1190/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       k8s_namespace,
       resource_name,
       src_ip,
       user_agent,
       concat('anonymous request answered: ', api_operation, ' from ', src_ip) AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND user_name = 'system:anonymous'
  AND status = 'Success'
  AND resource_type IS NOT NULL
/*--- tests
- name: an anonymous read of a pod
  events:
    - &anonymous {t: +0s, table: api_activity, source: kubernetes.audit, user_name: "system:anonymous", user_entity: "system:anonymous", status: Success, api_operation: get pods, resource_type: pods, resource_name: web-1, src_ip: 203.0.113.9}
  expect: [{src_ip: 203.0.113.9, resource_name: web-1}]
- name: a health check is quiet
  events: [{<<: *anonymous, api_operation: get /healthz, resource_type: null, resource_name: null}]
  expect: []
- name: a refused request is quiet
  events: [{<<: *anonymous, status: Failure}]
  expect: []
---*/

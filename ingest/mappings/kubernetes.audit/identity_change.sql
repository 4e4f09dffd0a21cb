/*---
id: kubernetes.audit.identity_change
title: "Kubernetes audit: roles bound to users, groups and service accounts"
source: kubernetes.audit
to: identity_change
class: 3005
codec: json
unwrap: ["$.items[*]", "$[*]", "$"]            # EventList, array, single event
detect: {has: [auditID|objectRef, stage|verb]}
columns:
  auditID: string
  stage: string
  verb: string
  requestURI: string
  requestReceivedTimestamp: timestamp
  stageTimestamp: timestamp
  timestamp: timestamp
  user: {username: string, uid: string, groups: [string], extra: json}
  impersonatedUser: {username: string, uid: string, groups: [string], extra: json}
  sourceIPs: [string]
  userAgent: string
  objectRef: {resource: string, subresource: string, namespace: string, name: string, apiGroup: string}
  responseStatus: {code: int, reason: string, message: string}
  requestObject: json
time: requestReceivedTimestamp
# No native_id: one auditID is shared by all stages of a request.
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: >-
  objectRef.resource IN ('rolebindings', 'clusterrolebindings')
  AND verb IN ('create', 'update', 'patch', 'delete', 'deletecollection')
priority: 20
vendor: Kubernetes
product: API server audit
references: ["https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/"]
---*/
SELECT coalesce(requestReceivedTimestamp, "timestamp", stageTimestamp) AS time,
       CASE WHEN verb LIKE 'delete%' THEN 'Revoke Privileges' ELSE 'Assign Privileges' END AS activity,
       CASE WHEN verb LIKE 'delete%' THEN 'role_revoked' ELSE 'role_assigned' END AS change,
       CASE WHEN responseStatus.code < 400 THEN 'Success' WHEN responseStatus.code >= 400 THEN 'Failure' ELSE 'Unknown' END AS status,
       coalesce(responseStatus.message, responseStatus.reason) AS status_detail,
       concat(verb, ' ', objectRef.resource) AS event_code,
       -- A binding may name several subjects: the first is who the row is about, the text keeps all.
       CASE WHEN json_get_str(requestObject, 'subjects', '0', 'kind') IN ('User', 'ServiceAccount') THEN json_get_str(requestObject, 'subjects', '0', 'name') END AS user_name,
       CASE json_get_str(requestObject, 'subjects', '0', 'kind') WHEN 'User' THEN 'User' WHEN 'ServiceAccount' THEN 'Service' END AS user_type,
       json_get_str(requestObject, 'subjects', '0', 'namespace') AS user_domain,
       CASE WHEN json_get_str(requestObject, 'subjects', '0', 'kind') = 'Group' THEN json_get_str(requestObject, 'subjects', '0', 'name') END AS target_group,
       json_get_str(requestObject, 'roleRef', 'name') AS target_role,
       coalesce(impersonatedUser.username, "user".username) AS actor_user_name,
       CASE WHEN impersonatedUser.username IS NULL THEN "user".uid ELSE impersonatedUser.uid END AS actor_user_uid,
       CASE WHEN impersonatedUser.username IS NULL THEN "user".groups ELSE impersonatedUser.groups END AS actor_user_groups,
       CASE WHEN impersonatedUser.username IS NULL THEN "user".extra ELSE impersonatedUser.extra END AS actor_user_extra,
       sourceIPs[-1] AS src_ip,
       sourceIPs AS src_ips,
       userAgent AS user_agent,
       requestObject AS new_value,
       objectRef.name AS "unmapped.binding",
       objectRef.namespace AS "unmapped.namespace",
       CASE WHEN impersonatedUser.username IS NOT NULL THEN "user".username END AS "unmapped.impersonated_by",
       auditID AS "unmapped.audit_id",
       stage AS "unmapped.stage"
FROM kubernetes_audit
/*--- tests
- name: cluster-admin bound to a user
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"k-1","stage":"ResponseComplete","requestURI":"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings","verb":"create","user":{"username":"adm@example.com","groups":["system:authenticated"]},"sourceIPs":["203.0.113.9"],"userAgent":"kubectl/v1.30.0","objectRef":{"resource":"clusterrolebindings","name":"bob-admin","apiGroup":"rbac.authorization.k8s.io","apiVersion":"v1"},"responseStatus":{"code":201},"requestObject":{"kind":"ClusterRoleBinding","subjects":[{"kind":"User","name":"bob@example.com"}],"roleRef":{"kind":"ClusterRole","name":"cluster-admin"}},"requestReceivedTimestamp":"2025-12-31T09:00:00.000000Z","stageTimestamp":"2025-12-31T09:00:00.010000Z"}'
  expect:
    - {table: identity_change, time: "2025-12-31T09:00:00Z", change: role_assigned, status: Success, user_name: bob@example.com, actor_user_name: adm@example.com, target_role: cluster-admin, actor_user_groups: ["system:authenticated"], src_ip: 203.0.113.9, src_ips: [203.0.113.9]}
- name: a role bound to a group has no single user
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k-2","stage":"ResponseComplete","verb":"create","user":{"username":"adm@example.com"},"sourceIPs":["203.0.113.9"],"objectRef":{"resource":"rolebindings","namespace":"shop","name":"devs"},"responseStatus":{"code":201},"requestObject":{"subjects":[{"kind":"Group","name":"developers"}],"roleRef":{"kind":"Role","name":"edit"}},"requestReceivedTimestamp":"2025-12-31T09:01:00.000000Z"}'
  expect:
    - {table: identity_change, user_name: null, target_group: developers, target_role: edit, change: role_assigned}
- name: a refused removal
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k-3","stage":"ResponseComplete","verb":"delete","user":{"username":"ann@example.com"},"sourceIPs":["203.0.113.9"],"objectRef":{"resource":"clusterrolebindings","name":"bob-admin"},"responseStatus":{"code":403,"reason":"Forbidden","message":"not allowed"},"requestReceivedTimestamp":"2025-12-31T09:02:00.000000Z"}'
  expect:
    - {table: identity_change, change: role_revoked, status: Failure, status_detail: not allowed, target_role: null}
- name: a record with nothing but its keys says nothing
  raw: '{"auditID":"k-4","stage":"ResponseComplete","user":{},"verb":"create","objectRef":{"resource":"rolebindings"}}'
  expect:
    - {table: identity_change, status: Unknown, user_name: null, actor_user_name: null, src_ip: null}
---*/

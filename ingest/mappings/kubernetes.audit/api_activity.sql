/*---
id: kubernetes.audit.api_activity
title: "Kubernetes audit: every other request to the API server"
source: kubernetes.audit
to: api_activity
class: 6003
codec: json
unwrap: ["$.items[*]", "$[*]", "$"]
detect: {has: [auditID|objectRef, stage|verb]}
columns:
  auditID: string
  stage: string
  level: string
  verb: string
  requestURI: string
  requestReceivedTimestamp: timestamp
  stageTimestamp: timestamp
  timestamp: timestamp
  user: {username: string, uid: string, groups: [string], extra: json}
  impersonatedUser: {username: string, uid: string, groups: [string], extra: json}
  sourceIPs: [string]
  userAgent: string
  objectRef: {resource: string, subresource: string, namespace: string, name: string, apiGroup: string, apiVersion: string}
  responseStatus: {code: int, reason: string, message: string}
  requestObject: json
  annotations: json
time: requestReceivedTimestamp
# No native_id: one auditID is shared by all stages of a request.
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
priority: 90                                   # no `when`: takes what the others left
vendor: Kubernetes
product: API server audit
references: ["https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/"]
---*/
SELECT coalesce(requestReceivedTimestamp, "timestamp", stageTimestamp) AS time,
       CASE
         WHEN verb IN ('get', 'list', 'watch') THEN 'Read'
         WHEN verb = 'create' THEN 'Create'
         WHEN verb IN ('update', 'patch') THEN 'Update'
         WHEN verb IN ('delete', 'deletecollection') THEN 'Delete'
         WHEN verb IS NOT NULL THEN 'Other'
         ELSE 'Unknown'
       END AS activity,
       -- RequestReceived has no answer yet.
       CASE WHEN responseStatus.code < 400 THEN 'Success' WHEN responseStatus.code >= 400 THEN 'Failure' ELSE 'Unknown' END AS status,
       coalesce(responseStatus.message, responseStatus.reason) AS status_detail,
       -- An impersonated request counts as its user's, who decides what is allowed; who sent it is the actor beside.
       coalesce(impersonatedUser.username, "user".username) AS user_name,
       CASE WHEN impersonatedUser.username IS NULL THEN "user".uid ELSE impersonatedUser.uid END AS user_uid,
       CASE
         WHEN coalesce(impersonatedUser.username, "user".username) LIKE 'system:serviceaccount:%' THEN 'Service'
         WHEN coalesce(impersonatedUser.username, "user".username) LIKE 'system:%' THEN 'System'
         WHEN coalesce(impersonatedUser.username, "user".username) IS NOT NULL THEN 'User'
       END AS user_type,
       CASE WHEN impersonatedUser.username IS NOT NULL THEN "user".username END AS actor_user_name,
       CASE WHEN impersonatedUser.username IS NOT NULL THEN "user".uid END AS actor_user_uid,
       CASE WHEN impersonatedUser.username IS NULL THEN "user".groups ELSE impersonatedUser.groups END AS user_groups,
       CASE WHEN impersonatedUser.username IS NOT NULL THEN "user".groups END AS actor_user_groups,
       CASE WHEN impersonatedUser.username IS NULL THEN "user".extra ELSE impersonatedUser.extra END AS user_extra,
       CASE WHEN impersonatedUser.username IS NOT NULL THEN "user".extra END AS actor_user_extra,
       -- The last address is the one the API server saw; those before it are what the client says in X-Forwarded-For.
       sourceIPs[-1] AS src_ip,
       sourceIPs AS src_ips,
       userAgent AS user_agent,
       CASE WHEN objectRef.resource IS NOT NULL THEN coalesce(objectRef.apiGroup, 'core') END AS api_service,
       -- `create pods/exec`, `list secrets`; requests that are for no object keep their path.
       ltrim(CASE
         WHEN objectRef.subresource IS NOT NULL THEN concat(verb, ' ', objectRef.resource, '/', objectRef.subresource)
         WHEN objectRef.resource IS NOT NULL THEN concat(verb, ' ', objectRef.resource)
         ELSE concat(verb, ' ', split_part(requestURI, '?', 1))
       END) AS api_operation,
       ltrim(CASE
         WHEN objectRef.subresource IS NOT NULL THEN concat(verb, ' ', objectRef.resource, '/', objectRef.subresource)
         WHEN objectRef.resource IS NOT NULL THEN concat(verb, ' ', objectRef.resource)
         ELSE coalesce(verb, split_part(requestURI, '?', 1))
       END) AS event_code,
       objectRef.apiVersion AS api_version,
       requestObject AS request,
       responseStatus.code AS response_code,
       CASE WHEN responseStatus.code >= 400 THEN coalesce(responseStatus.reason, CAST(responseStatus.code AS VARCHAR)) END AS error_code,
       CASE
         WHEN objectRef.name IS NOT NULL
         THEN concat(objectRef.resource, '/', CASE WHEN objectRef.namespace IS NOT NULL THEN concat(objectRef.namespace, '/') ELSE '' END, objectRef.name)
       END AS resource_uid,
       CASE
         WHEN objectRef.subresource IS NOT NULL THEN concat(objectRef.resource, '/', objectRef.subresource)
         ELSE objectRef.resource
       END AS resource_type,
       objectRef.name AS resource_name,
       verb IN ('get', 'list', 'watch') AS is_read_only,
       objectRef.namespace AS k8s_namespace,
       verb AS k8s_verb,
       json_get_str(annotations, 'authorization.k8s.io/decision') AS "unmapped.decision",
       impersonatedUser.username AS "unmapped.impersonated_user",
       auditID AS "unmapped.audit_id",
       stage AS "unmapped.stage"
FROM kubernetes_audit
/*--- tests
- name: a shell in a pod
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"k-10","stage":"ResponseStarted","requestURI":"/api/v1/namespaces/shop/pods/web-1/exec?command=sh&stdin=true&tty=true","verb":"create","user":{"username":"ann@example.com","uid":"u-1","groups":["system:authenticated"]},"sourceIPs":["203.0.113.9","10.0.0.1"],"userAgent":"kubectl/v1.30.0","objectRef":{"resource":"pods","namespace":"shop","name":"web-1","apiVersion":"v1","subresource":"exec"},"responseStatus":{"code":101},"requestReceivedTimestamp":"2025-12-31T09:00:00.000000Z","stageTimestamp":"2025-12-31T09:00:00.100000Z","annotations":{"authorization.k8s.io/decision":"allow"}}'
  expect:
    - {table: api_activity, time: "2025-12-31T09:00:00Z", activity: Create, status: Success, user_name: ann@example.com, user_type: User, src_ip: 10.0.0.1, src_ips: [203.0.113.9, 10.0.0.1], user_groups: ["system:authenticated"], actor_user_groups: [], api_operation: create pods/exec, resource_type: pods/exec, resource_name: web-1, resource_uid: pods/shop/web-1, k8s_namespace: shop, k8s_verb: create, is_read_only: false}
- name: a refused list of secrets by a service account
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k-11","stage":"ResponseComplete","requestURI":"/api/v1/secrets?limit=500","verb":"list","user":{"username":"system:serviceaccount:shop:web"},"sourceIPs":["10.0.3.7"],"userAgent":"curl/8.5","objectRef":{"resource":"secrets","apiVersion":"v1"},"responseStatus":{"code":403,"reason":"Forbidden","message":"secrets is forbidden"},"requestReceivedTimestamp":"2025-12-31T09:01:00.000000Z"}'
  expect:
    - {table: api_activity, activity: Read, status: Failure, error_code: Forbidden, user_type: Service, api_operation: list secrets, resource_uid: null, response_code: 403}
- name: a request for no object keeps its path
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k-12","stage":"ResponseComplete","requestURI":"/healthz?timeout=5s","verb":"get","user":{"username":"system:anonymous"},"sourceIPs":["10.0.3.8"],"userAgent":"kube-probe/1.30","responseStatus":{"code":200},"requestReceivedTimestamp":"2025-12-31T09:02:00.000000Z"}'
  expect:
    - {table: api_activity, status: Success, api_operation: get /healthz, event_code: get, user_type: System, resource_type: null}
- name: a request just received has no outcome yet
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k-13","stage":"RequestReceived","requestURI":"/api/v1/pods","verb":"list","user":{"username":"ann@example.com"},"sourceIPs":["203.0.113.9"],"objectRef":{"resource":"pods"},"requestReceivedTimestamp":"2025-12-31T09:03:00.000000Z"}'
  expect:
    - {table: api_activity, status: Unknown, api_operation: list pods, error_code: null}
- name: an impersonated user and who impersonates
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k-14","stage":"ResponseComplete","requestURI":"/api/v1/secrets","verb":"list","user":{"username":"system:serviceaccount:ops:proxy","uid":"p-1","groups":["system:serviceaccounts"],"extra":{"scopes":["proxy"]}},"impersonatedUser":{"username":"ann@example.com","groups":["dev"]},"sourceIPs":["198.51.100.7","203.0.113.9"],"objectRef":{"resource":"secrets"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2025-12-31T09:04:00.000000Z"}'
  expect:
    - {table: api_activity, status: Success, user_name: ann@example.com, user_uid: null, user_type: User, actor_user_name: "system:serviceaccount:ops:proxy", actor_user_uid: p-1, user_groups: [dev], actor_user_groups: ["system:serviceaccounts"], user_extra: null, actor_user_extra: '{"scopes":["proxy"]}', src_ip: 203.0.113.9, src_ips: [198.51.100.7, 203.0.113.9]}
- name: a record with nothing but its keys says nothing
  raw: '{"auditID":"k-15","stage":"ResponseComplete","user":{}}'
  expect:
    - {table: api_activity, activity: Unknown, status: Unknown, user_name: null, actor_user_name: null, src_ip: null, time_flag: missing}
- name: the time of an event of an older version of the API
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","metadata":{"creationTimestamp":"2025-12-31T09:00:00Z"},"level":"Metadata","timestamp":"2025-12-31T09:00:00Z","auditID":"k-old","stage":"ResponseComplete","requestURI":"/api/v1/secrets","verb":"list","user":{"username":"ann"},"sourceIPs":["203.0.113.9"],"objectRef":{"resource":"secrets","apiVersion":"v1"},"responseStatus":{"code":200}}'
  expect:
    - {table: api_activity, time: "2025-12-31T09:00:00Z", status: Success, user_name: ann, api_operation: list secrets}
---*/

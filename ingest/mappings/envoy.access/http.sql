/*---
id: envoy.access.http
title: "Envoy access log as JSON: requests through a gateway or a service mesh"
source: envoy.access
to: http
class: 4002
codec: json
detect: {has: [response_flags, start_time, upstream_cluster|upstream_host, method|authority]}
columns:
  start_time: timestamp
  method: string
  path: string
  authority: string
  protocol: string
  response_code: int
  response_code_details: string
  response_flags: string
  bytes_received: int
  bytes_sent: int
  duration: int
  upstream_host: string
  upstream_cluster: string
  route_name: string
  requested_server_name: string
  downstream_remote_address: string
  downstream_local_address: string
  downstream_peer_uri_san: string
  downstream_tls_version: string
  x_forwarded_for: string
  user_agent: string
  referer: string
  request_id: string
  user: string
  device: string
time: start_time
# A request that a sidecar and a gateway log has one id in both.
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
priority: 10
vendor: Envoy
product: Envoy
references:
  - "https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage"
  - "https://istio.io/latest/docs/tasks/observability/logs/access-log/"
---*/
SELECT start_time AS time,
       CASE upper(method)
         WHEN 'CONNECT' THEN 'Connect' WHEN 'DELETE' THEN 'Delete' WHEN 'GET' THEN 'Get' WHEN 'HEAD' THEN 'Head'
         WHEN 'OPTIONS' THEN 'Options' WHEN 'POST' THEN 'Post' WHEN 'PUT' THEN 'Put' WHEN 'TRACE' THEN 'Trace'
         WHEN 'PATCH' THEN 'Patch' ELSE 'Other'
       END AS activity,
       -- 0: the client went, or nobody answered.
       CASE WHEN response_code BETWEEN 1 AND 399 THEN 'Success' WHEN response_code >= 400 OR response_code = 0 THEN 'Failure' ELSE 'Unknown' END AS status,
       nullif(response_code_details, '-') AS status_detail,
       -- What external authorization kept out.
       CASE
         WHEN response_code_details LIKE '%ext_authz_denied%' OR response_flags LIKE '%UAEX%' THEN 'Denied'
         WHEN response_code BETWEEN 1 AND 399 THEN 'Allowed'
       END AS action,
       CASE
         WHEN response_code_details LIKE '%ext_authz_denied%' OR response_flags LIKE '%UAEX%' THEN 'Blocked'
         WHEN response_code BETWEEN 1 AND 399 THEN 'Allowed'
       END AS disposition,
       nullif(response_flags, '-') AS event_code,
       upper(method) AS http_method,
       -- Path and query.
       path AS url,
       lower(split_part(coalesce(nullif(authority, '-'), nullif(requested_server_name, '-')), ':', 1)) AS url_host,
       split_part(path, '?', 1) AS url_path,
       nullif(response_code, 0) AS http_status,
       bytes_sent AS bytes_in,
       bytes_received AS bytes_out,
       nullif(referer, '-') AS referrer,
       nullif(user_agent, '-') AS user_agent,
       duration AS response_ms,
       nullif(upstream_host, '-') AS upstream,
       coalesce(nullif(route_name, '-'), nullif(upstream_cluster, '-')) AS route,
       nullif(replace(downstream_tls_version, 'TLSv', ''), '-') AS tls_version,
       -- The address that Envoy saw, without its port.
       CASE
         WHEN downstream_remote_address LIKE '[%' THEN split_part(ltrim(downstream_remote_address, '['), ']', 1)
         ELSE split_part(nullif(downstream_remote_address, '-'), ':', 1)
       END AS src_ip,
       string_to_array(replace(nullif(x_forwarded_for, '-'), ' ', ''), ',') AS x_forwarded_for,
       nullif("user", '-') AS user_name,
       nullif(device, '-') AS device_uid,
       nullif(downstream_peer_uri_san, '-') AS actor_app_name,
       requested_server_name AS "unmapped.requested_server_name",
       upstream_cluster AS "unmapped.upstream_cluster",
       request_id AS "unmapped.request_id",
       protocol AS "unmapped.protocol"
FROM envoy_access
/*--- tests
- name: a request that passes, with the user and the SPIFFE id that the format names
  raw: '{"start_time":"2025-12-31T09:00:00.000Z","method":"GET","path":"/cart?id=7","authority":"shop.example.com:8443","protocol":"HTTP/2","response_code":200,"response_code_details":"via_upstream","response_flags":"-","bytes_received":0,"bytes_sent":15320,"duration":41,"upstream_host":"10.0.12.7:8080","upstream_cluster":"outbound|8080||cart","route_name":"cart","downstream_remote_address":"203.0.113.9:51234","downstream_peer_uri_san":"spiffe://prod/ns/shop/sa/web","downstream_tls_version":"TLSv1.3","x_forwarded_for":"203.0.113.9, 10.0.0.4","user_agent":"curl/8.5","request_id":"r-1","user":"ann@example.com","device":"lap-7"}'
  expect:
    - {table: http, time: "2025-12-31T09:00:00Z", activity: Get, status: Success, disposition: Allowed, http_method: GET, http_status: 200, url: "/cart?id=7", url_path: /cart, url_host: shop.example.com, src_ip: 203.0.113.9, x_forwarded_for: [203.0.113.9, 10.0.0.4], upstream: "10.0.12.7:8080", route: cart, tls_version: "1.3", response_ms: 41, bytes_in: 15320, user_name: ann@example.com, device_uid: lap-7, actor_app_name: "spiffe://prod/ns/shop/sa/web"}
- name: one that external authorization denies
  raw: '{"start_time":"2025-12-31T09:01:00.000Z","method":"GET","path":"/app","authority":"shop.example.com","response_code":403,"response_code_details":"ext_authz_denied","response_flags":"UAEX","bytes_received":0,"bytes_sent":0,"duration":2,"upstream_host":"-","upstream_cluster":"backend","downstream_remote_address":"[2001:db8::1]:443","user":"ann@example.com"}'
  expect:
    - {table: http, status: Failure, action: Denied, disposition: Blocked, http_status: 403, event_code: UAEX, src_ip: "2001:db8::1", upstream: null, user_name: ann@example.com}
- name: the format of Istio, a client that went
  raw: '{"authority":"reviews:9080","bytes_received":0,"bytes_sent":0,"connection_termination_details":null,"downstream_local_address":"10.0.3.4:9080","downstream_remote_address":"10.0.3.9:40000","duration":9,"method":"POST","path":"/reviews/0","protocol":"HTTP/1.1","request_id":"r-2","requested_server_name":null,"response_code":0,"response_code_details":"downstream_remote_disconnect","response_flags":"DC","route_name":"default","start_time":"2025-12-31T09:02:00.000Z","upstream_cluster":"inbound|9080||","upstream_host":"10.0.3.4:9080","user_agent":"curl/8.5","x_forwarded_for":null}'
  expect:
    - {table: http, activity: Post, status: Failure, http_status: null, event_code: DC, url_host: reviews, src_ip: 10.0.3.9, user_name: null}
- name: a record with nothing but its keys says nothing
  raw: '{"response_flags":"-","start_time":"2025-12-31T09:03:00.000Z","upstream_cluster":"-","method":null}'
  expect:
    - {table: http, status: Unknown, user_name: null, src_ip: null}
---*/

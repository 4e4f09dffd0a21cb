/*---
id: okta.system.api_activity
title: "Okta System Log: every other event"
source: okta.system
to: api_activity
class: 6003
codec: json
unwrap: ["$.data.events[*]", "$[*]", "$"]
detect: {has: [eventType, published|uuid, actor|target]}
columns:
  uuid: string
  published: timestamp
  eventType: string
  displayMessage: string
  outcome: {result: string, reason: string}
  actor: {id: string, type: string, alternateId: string, displayName: string}
  client:
    ipAddress: string
    device: string
    userAgent: {rawUserAgent: string, os: string}
    geographicalContext: {country: string, city: string, geolocation: {lat: float, lon: float}}
  authenticationContext: {externalSessionId: string}
  securityContext: {asNumber: int, asOrg: string}
  target: [{id: string, type: string, alternateId: string, displayName: string}]
  request: {ipChain: [{ip: string}]}
time: published
native_id: uuid
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
priority: 90                                   # no `when`: takes what the others left
vendor: Okta
product: System Log
references: ["https://developer.okta.com/docs/reference/api/event-types/"]
---*/
SELECT published AS time,
       CASE
         WHEN eventType LIKE '%.create' OR eventType LIKE '%.add' THEN 'Create'
         WHEN eventType LIKE '%.delete' OR eventType LIKE '%.remove' OR eventType LIKE '%.revoke' THEN 'Delete'
         WHEN eventType LIKE '%.update' OR eventType LIKE '%.activate' OR eventType LIKE '%.deactivate' THEN 'Update'
         ELSE 'Other'
       END AS activity,
       -- CHALLENGE and the like are not outcomes yet.
       CASE
         WHEN outcome.result IN ('SUCCESS', 'ALLOW') THEN 'Success'
         WHEN outcome.result IN ('FAILURE', 'DENY', 'REJECTED', 'ABANDONED', 'UNANSWERED', 'RATE_LIMIT') THEN 'Failure'
         ELSE 'Unknown'
       END AS status,
       outcome.reason AS status_detail,
       displayMessage AS message,
       eventType AS event_code,
       uuid AS native_uid,
       nullif(actor.alternateId, 'unknown') AS user_name,
       nullif(actor.id, 'unknown') AS user_uid,
       CASE WHEN actor.alternateId LIKE '%@%' THEN actor.alternateId END AS user_email,
       CASE WHEN actor.type = 'User' THEN 'User' WHEN actor.type IS NOT NULL THEN 'System' END AS user_type,
       -- Blocked requests come from an address that is itself the actor.
       coalesce(client.ipAddress, CASE WHEN actor.type = 'IP address' THEN actor.id END) AS src_ip,
       array_transform(request.ipChain, hop -> hop['ip']) AS src_ips,
       client.geographicalContext.country AS src_country,
       client.geographicalContext.city AS src_city,
       -- Zero and zero stand for a place that Okta does not know.
       CASE
         WHEN client.geographicalContext.geolocation.lat <> 0 OR client.geographicalContext.geolocation.lon <> 0
         THEN client.geographicalContext.geolocation.lat
       END AS src_latitude,
       CASE
         WHEN client.geographicalContext.geolocation.lat <> 0 OR client.geographicalContext.geolocation.lon <> 0
         THEN client.geographicalContext.geolocation.lon
       END AS src_longitude,
       securityContext.asNumber AS src_asn,
       securityContext.asOrg AS src_as_org,
       client.userAgent.rawUserAgent AS user_agent,
       client.userAgent.os AS device_os,
       client.device AS device_type,
       nullif(authenticationContext.externalSessionId, 'unknown') AS session_uid,
       'okta' AS api_service,
       eventType AS api_operation,
       CASE WHEN outcome.result IN ('FAILURE', 'DENY') THEN outcome.reason END AS error_code,
       target[1]['id'] AS resource_uid,
       target[1]['type'] AS resource_type,
       target[1]['displayName'] AS resource_name,
       array_transform(target, t -> t['id']) AS resources
FROM okta_system
/*--- tests
- name: an API token created
  raw: '{"uuid":"33333333-0000-4000-8000-000000000001","published":"2025-12-31T09:00:00.000Z","eventType":"system.api_token.create","displayMessage":"Create API token","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9","userAgent":{"rawUserAgent":"Mozilla/5.0"}},"target":[{"id":"00Tabc","type":"Token","displayName":"backup"}]}'
  expect:
    - {table: api_activity, activity: Create, status: Success, api_operation: system.api_token.create, user_email: ann@example.com, src_ip: 203.0.113.9, resource_uid: 00Tabc, resource_name: backup, resources: [00Tabc]}
- name: a sign-on policy that asks for a factor is not an outcome yet
  raw: '{"uuid":"33333333-0000-4000-8000-000000000002","published":"2025-12-31T09:01:00.000Z","eventType":"policy.evaluate_sign_on","outcome":{"result":"CHALLENGE","reason":"Sign-on policy evaluation resulted in CHALLENGE"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9"},"target":[]}'
  expect:
    - {table: api_activity, activity: Other, status: Unknown, event_code: policy.evaluate_sign_on, error_code: null}
- name: an event type nobody has heard of still has who, when and from where
  raw: '{"uuid":"33333333-0000-4000-8000-000000000003","published":"2025-12-31T09:02:00.000Z","eventType":"brand.new.event","outcome":{"result":"FAILURE","reason":"quota"},"actor":{"id":"00sys","type":"SystemPrincipal","alternateId":"system@okta.com"},"client":{"ipAddress":"2001:DB8::1"}}'
  expect:
    - {table: api_activity, time: "2025-12-31T09:02:00Z", status: Failure, error_code: quota, user_type: System, src_ip: "2001:db8::1", resource_uid: null}
- name: a record with nothing but its keys says nothing
  raw: '{"eventType":"brand.new.event","published":"2025-12-31T09:09:00.000Z","actor":{}}'
  expect:
    - {table: api_activity, status: Unknown, user_name: null, src_ip: null, user_uid: null, error_code: null}
---*/

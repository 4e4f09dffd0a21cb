/*---
id: okta.system.authentication
title: "Okta System Log: sign-ins, factors and sessions"
source: okta.system
to: authentication
class: 3002
codec: json
unwrap: ["$.data.events[*]", "$[*]", "$"]      # event hook, API page, single event
detect: {has: [eventType, published|uuid, actor|target]}
columns:
  uuid: string
  published: timestamp
  eventType: string
  displayMessage: string
  severity: string
  outcome: {result: string, reason: string}
  actor: {id: string, type: string, alternateId: string, displayName: string}
  client:
    ipAddress: string
    device: string
    zone: string
    userAgent: {rawUserAgent: string, os: string}
    geographicalContext: {country: string, city: string, geolocation: {lat: float, lon: float}}
  device: {id: string, name: string, os_platform: string, managed: bool}
  authenticationContext: {externalSessionId: string, authenticationProvider: string, credentialType: string}
  securityContext: {asNumber: int, asOrg: string, domain: string, isProxy: bool}
  target: [{id: string, type: string, alternateId: string, displayName: string}]
  request: {ipChain: [{ip: string}]}
  debugContext: json
time: published
native_id: uuid
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: >-
  eventType LIKE 'user.session.%'
  OR eventType LIKE 'user.authentication.%'
  OR eventType LIKE 'user.mfa.okta_verify.deny_push%'
priority: 10
vendor: Okta
product: System Log
references:
  - "https://developer.okta.com/docs/api/openapi/okta-management/management/tag/SystemLog/"
  - "https://developer.okta.com/docs/reference/api/event-types/"
---*/
SELECT published AS time,
       CASE
         WHEN eventType = 'user.session.start' THEN 'Logon'
         WHEN eventType LIKE 'user.authentication.auth%' THEN 'Logon'
         WHEN eventType LIKE 'user.authentication.%' THEN 'Service Ticket Request'
         WHEN eventType LIKE 'user.mfa.%' THEN 'Logon'
         WHEN eventType LIKE 'user.session.%end' THEN 'Logoff'
         WHEN eventType IN ('user.session.clear', 'user.session.expire') THEN 'Logoff'
         ELSE 'Other'
       END AS activity,
       -- The event of a refused push says SUCCESS: the refusal itself was recorded. The sign-in failed.
       CASE
         WHEN eventType LIKE 'user.mfa.okta_verify.deny_push%' THEN 'Failure'
         WHEN outcome.result IN ('SUCCESS', 'ALLOW') THEN 'Success'
         WHEN outcome.result IN ('FAILURE', 'DENY', 'REJECTED', 'ABANDONED', 'UNANSWERED', 'RATE_LIMIT') THEN 'Failure'
         ELSE 'Unknown'
       END AS status,
       outcome.reason AS status_detail,
       CASE
         WHEN eventType LIKE 'user.mfa.okta_verify.deny_push%' THEN 'mfa_denied'
         WHEN outcome.result = 'DENY' THEN 'policy'
         WHEN outcome.result = 'RATE_LIMIT' THEN 'policy'
         -- Nobody refused a push that nobody answered.
         WHEN outcome.result = 'UNANSWERED' THEN 'mfa_failed'
         WHEN outcome.result IN ('FAILURE', 'ABANDONED', 'REJECTED') THEN
           CASE
             WHEN outcome.reason IN ('LOCKED_OUT', 'USER_LOCKED_OUT', 'ACCOUNT_LOCKED') THEN 'locked'
             -- The Identity Engine has no event of its own for a refused push: it is a failed factor of that kind.
             WHEN eventType LIKE 'user.authentication.auth_via_mfa%'
               AND json_get_str(debugContext, 'debugData', 'factor') LIKE '%PUSH%'
               AND coalesce(outcome.reason, '') NOT LIKE '%TIMEOUT%' AND coalesce(outcome.reason, '') NOT LIKE '%EXPIRED%' THEN 'mfa_denied'
             WHEN eventType LIKE 'user.authentication.auth_via_mfa%'
               AND (json_get_str(debugContext, 'debugData', 'factor') LIKE 'PASSWORD%') IS NOT TRUE THEN 'mfa_failed'
             WHEN outcome.reason = 'INVALID_CREDENTIALS' THEN 'bad_password'
             WHEN outcome.reason IN ('VERIFICATION_ERROR', 'USER_NOT_FOUND', 'UNKNOWN_USER') THEN 'unknown_user'
             WHEN outcome.reason IN ('PASSWORD_EXPIRED', 'CREDENTIAL_EXPIRED') THEN 'expired'
             WHEN outcome.reason IN ('USER_SUSPENDED', 'USER_DEACTIVATED', 'USER_DISABLED') THEN 'disabled'
             WHEN outcome.reason LIKE '%DENY%' THEN 'policy'
             ELSE 'other'
           END
       END AS failure_reason,
       displayMessage AS message,
       eventType AS event_code,
       uuid AS native_uid,
       nullif(actor.alternateId, 'unknown') AS user_name,
       nullif(actor.id, 'unknown') AS user_uid,
       CASE WHEN actor.alternateId LIKE '%@%' THEN actor.alternateId END AS user_email,
       CASE WHEN actor.type = 'User' THEN 'User' WHEN actor.type IS NOT NULL THEN 'System' END AS user_type,
       client.ipAddress AS src_ip,
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
       nullif(securityContext.domain, '.') AS src_hostname,
       client.userAgent.rawUserAgent AS user_agent,
       device.id AS device_uid,
       device.name AS device_hostname,
       coalesce(device.os_platform, client.userAgent.os) AS device_os,
       client.device AS device_type,
       device.managed AS device_is_managed,
       nullif(authenticationContext.externalSessionId, 'unknown') AS session_uid,
       -- In the Identity Engine a password is a factor like any other.
       CASE
         WHEN eventType LIKE 'user.mfa.%' THEN TRUE
         WHEN eventType LIKE 'user.authentication.auth_via_mfa%' THEN (json_get_str(debugContext, 'debugData', 'factor') LIKE 'PASSWORD%') IS NOT TRUE
         WHEN eventType IS NOT NULL THEN FALSE
       END AS is_mfa,
       -- Okta's own behaviour detection: classic engine as text, identity engine as JSON in text.
       debugContext LIKE '%New Device=POSITIVE%'
         OR json_get_str(debugContext, 'debugData', 'logOnlySecurityData') LIKE '%"New Device":"POSITIVE"%' AS is_new_device,
       CASE WHEN client.ipAddress IS NOT NULL THEN TRUE END AS is_remote,
       array_filter(target, t -> t['type'] = 'AppInstance')[1]['displayName'] AS app_name,
       'Okta' AS idp_name,
       json_get_str(debugContext, 'debugData', 'factor') AS "unmapped.factor",
       CASE WHEN securityContext.isProxy THEN 'true' WHEN securityContext.isProxy IS FALSE THEN 'false' END AS "unmapped.is_proxy",
       nullif(client.zone, 'null') AS "unmapped.zone"
FROM okta_system
/*--- tests
- name: a wrong password is a failed logon
  raw: '{"uuid":"11111111-0000-4000-8000-000000000001","published":"2025-12-31T09:00:00.000Z","eventType":"user.session.start","displayMessage":"User login to Okta","severity":"WARN","outcome":{"result":"FAILURE","reason":"INVALID_CREDENTIALS"},"actor":{"id":"00uann","type":"User","alternateId":"Ann@Example.com","displayName":"Ann"},"client":{"ipAddress":"203.0.113.9","device":"Computer","zone":"null","userAgent":{"rawUserAgent":"Mozilla/5.0","os":"Mac OS X","browser":"CHROME"},"geographicalContext":{"country":"Germany","city":"Berlin","geolocation":{"lat":52.52,"lon":13.405}}},"request":{"ipChain":[{"ip":"203.0.113.9"},{"ip":"198.51.100.1"}]},"securityContext":{"asNumber":64496,"asOrg":"Example Net","domain":".","isProxy":false},"target":[]}'
  expect:
    - {table: authentication, time: "2025-12-31T09:00:00Z", activity: Logon, status: Failure, failure_reason: bad_password, user_email: Ann@Example.com, user_uid: 00uann, src_ip: 203.0.113.9, src_country: Germany, src_latitude: 52.52, src_longitude: 13.405, src_ips: [203.0.113.9, 198.51.100.1], src_asn: 64496, event_code: user.session.start}
- name: a refused push is a failed logon although its event succeeded
  raw: '{"uuid":"11111111-0000-4000-8000-000000000002","published":"2025-12-31T09:01:00.000Z","eventType":"user.mfa.okta_verify.deny_push","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9"},"target":[]}'
  expect:
    - {table: authentication, activity: Logon, status: Failure, failure_reason: mfa_denied, is_mfa: true, user_name: ann@example.com}
- name: single sign-on to an application names it
  raw: '{"uuid":"11111111-0000-4000-8000-000000000003","published":"2025-12-31T09:02:00.000Z","eventType":"user.authentication.sso","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9"},"authenticationContext":{"externalSessionId":"102abc"},"target":[{"id":"0oa1","type":"AppInstance","alternateId":"Payroll","displayName":"Payroll"}]}'
  expect:
    - {table: authentication, activity: Service Ticket Request, status: Success, app_name: Payroll, session_uid: 102abc}
- name: an unknown user leaves the id empty and keeps what was typed
  raw: '{"uuid":"11111111-0000-4000-8000-000000000004","published":"2025-12-31T09:03:00.000Z","eventType":"user.session.start","outcome":{"result":"FAILURE","reason":"VERIFICATION_ERROR"},"actor":{"id":"unknown","type":"User","alternateId":"admin","displayName":"unknown"},"client":{"ipAddress":"203.0.113.9"},"target":[]}'
  expect:
    - {table: authentication, status: Failure, failure_reason: unknown_user, user_name: admin, user_uid: null, user_email: null}
- name: zero and zero is no place; on the meridian of Greenwich there are some
  raw: '{"uuid":"11111111-0000-4000-8000-000000000007","published":"2025-12-31T09:06:00.000Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9","geographicalContext":{"country":"Germany","geolocation":{"lat":0.0,"lon":0.0}}},"target":[]}'
  expect:
    - {table: authentication, src_latitude: null, src_longitude: null, src_country: Germany}
- name: coordinates as texts
  raw: '{"uuid":"11111111-0000-4000-8000-000000000008","published":"2025-12-31T09:06:00.000Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9","geographicalContext":{"geolocation":{"lat":"51.48","lon":"0"}}},"target":[]}'
  expect:
    - {table: authentication, src_latitude: 51.48, src_longitude: 0.0}
- name: a record with nothing but its keys says nothing
  raw: '{"eventType":"user.session.start","published":"2025-12-31T09:09:00.000Z","actor":{}}'
  expect:
    - {table: authentication, status: Unknown, user_name: null, src_ip: null, failure_reason: null, user_uid: null, is_remote: null}
- name: a push refused in the Identity Engine
  raw: '{"uuid":"11111111-0000-4000-8000-000000000005","published":"2025-12-31T09:04:00.000Z","eventType":"user.authentication.auth_via_mfa","outcome":{"result":"FAILURE","reason":"INVALID_CREDENTIALS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9"},"debugContext":{"debugData":{"factor":"OKTA_VERIFY_PUSH"}},"target":[]}'
  expect:
    - {table: authentication, activity: Logon, status: Failure, failure_reason: mfa_denied, is_mfa: true}
- name: a password as a factor of the Identity Engine
  raw: '{"uuid":"11111111-0000-4000-8000-000000000006","published":"2025-12-31T09:05:00.000Z","eventType":"user.authentication.auth_via_mfa","outcome":{"result":"FAILURE","reason":"INVALID_CREDENTIALS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"null"},"debugContext":{"debugData":{"factor":"PASSWORD_AS_FACTOR"}},"target":[]}'
  expect:
    - {table: authentication, status: Failure, failure_reason: bad_password, is_mfa: false, src_ip: null}
- name: a push that nobody answered was refused by nobody
  raw: '{"uuid":"u-un","published":"2025-12-31T09:00:00.000Z","eventType":"user.authentication.auth_via_mfa","outcome":{"result":"UNANSWERED"},"actor":{"id":"00u1","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9"},"debugContext":{"debugData":{"factor":"OKTA_VERIFY_PUSH"}},"target":[]}'
  expect:
    - {table: authentication, activity: Logon, status: Failure, failure_reason: mfa_failed, user_name: ann@example.com, is_mfa: true}
- name: a sign-in that was limited or given up did not succeed
  records:
    - '{"uuid":"u-rl","published":"2025-12-31T09:00:01.000Z","eventType":"user.session.start","outcome":{"result":"RATE_LIMIT"},"actor":{"id":"00u1","alternateId":"ann@example.com"}}'
    - '{"uuid":"u-ab","published":"2025-12-31T09:00:02.000Z","eventType":"user.session.start","outcome":{"result":"ABANDONED"},"actor":{"id":"00u1","alternateId":"ann@example.com"}}'
    - '{"uuid":"u-ch","published":"2025-12-31T09:00:03.000Z","eventType":"user.session.start","outcome":{"result":"CHALLENGE"},"actor":{"id":"00u1","alternateId":"ann@example.com"}}'
  expect:
    - {table: authentication, status: Failure, failure_reason: policy}
    - {table: authentication, status: Failure, failure_reason: other}
    - {table: authentication, status: Unknown, failure_reason: null}
---*/

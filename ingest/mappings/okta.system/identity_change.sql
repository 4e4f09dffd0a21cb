/*---
id: okta.system.identity_change
title: "Okta System Log: changes to accounts, factors, roles, groups, policies"
source: okta.system
to: identity_change
class: 3001
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
  debugContext: json
time: published
native_id: uuid
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: >-
  eventType LIKE 'user.lifecycle.%'
  OR eventType LIKE 'user.account.lock%'
  OR eventType LIKE 'user.account.unlock%'
  OR eventType LIKE 'user.account.privilege.%'
  OR eventType IN ('user.account.update_password', 'user.account.reset_password', 'user.account.expire_password')
  OR eventType LIKE 'user.mfa.factor.%'
  OR eventType LIKE 'group.privilege.%'
  OR eventType LIKE 'group.user_membership.%'
  OR eventType LIKE 'iam.resourceset.bindings.%'
  OR eventType LIKE 'application.user_membership.%'
  OR eventType LIKE 'application.lifecycle.%'
  OR eventType LIKE 'policy.lifecycle.%'
  OR eventType LIKE 'policy.rule.%'
  OR eventType LIKE 'system.idp.lifecycle.%'
priority: 20
vendor: Okta
product: System Log
references: ["https://developer.okta.com/docs/reference/api/event-types/"]
---*/
SELECT published AS time,
       CASE
         WHEN eventType LIKE 'group.user_membership.%' THEN 3006
         WHEN eventType LIKE 'application.%' OR eventType LIKE 'policy.%' OR eventType LIKE 'system.idp.%' THEN 3004
         WHEN eventType LIKE '%.privilege.%' OR eventType LIKE 'iam.resourceset.%' THEN 3005
         ELSE 3001
       END AS class_uid,
       CASE
         WHEN eventType = 'user.lifecycle.create' THEN 'user_created'
         WHEN eventType LIKE 'user.lifecycle.delete%' THEN 'user_deleted'
         WHEN eventType IN ('user.lifecycle.activate', 'user.lifecycle.reactivate', 'user.lifecycle.unsuspend') THEN 'enabled'
         WHEN eventType IN ('user.lifecycle.deactivate', 'user.lifecycle.suspend') THEN 'disabled'
         WHEN eventType LIKE 'user.account.lock%' THEN 'locked'
         WHEN eventType LIKE 'user.account.unlock%' THEN 'enabled'
         WHEN eventType = 'user.account.update_password' THEN 'password_changed'
         WHEN eventType IN ('user.account.reset_password', 'user.account.expire_password') THEN 'password_reset'
         WHEN eventType IN ('user.mfa.factor.activate', 'user.mfa.factor.unsuspend') THEN 'mfa_added'
         WHEN eventType IN ('user.mfa.factor.deactivate', 'user.mfa.factor.suspend', 'user.mfa.factor.reset_all') THEN 'mfa_removed'
         WHEN eventType LIKE '%.privilege.grant' OR eventType = 'iam.resourceset.bindings.add' THEN 'role_assigned'
         WHEN eventType LIKE '%.privilege.revoke' OR eventType = 'iam.resourceset.bindings.delete' THEN 'role_revoked'
         WHEN eventType = 'group.user_membership.add' THEN 'member_added'
         WHEN eventType = 'group.user_membership.remove' THEN 'member_removed'
         WHEN eventType LIKE 'application.%' THEN 'app_changed'
         WHEN eventType LIKE 'policy.%' THEN 'policy_changed'
         WHEN eventType LIKE 'system.idp.%' THEN 'federation_changed'
       END AS change,
       -- Captions of the class above; 3004 and 3005 have fewer.
       CASE
         WHEN eventType LIKE '%.create' THEN 'Create'
         WHEN eventType LIKE '%.update' THEN 'Update'
         WHEN eventType LIKE '%.delete%' THEN 'Delete'
         WHEN eventType = 'user.account.update_password' THEN 'Password Change'
         WHEN eventType IN ('user.account.reset_password', 'user.account.expire_password') THEN 'Password Reset'
         WHEN eventType LIKE 'user.account.lock%' THEN 'Lock'
         WHEN eventType LIKE 'user.account.unlock%' THEN 'Unlock'
         WHEN eventType IN ('user.mfa.factor.activate', 'user.mfa.factor.unsuspend') THEN 'MFA Factor Enable'
         WHEN eventType IN ('user.mfa.factor.deactivate', 'user.mfa.factor.suspend', 'user.mfa.factor.reset_all') THEN 'MFA Factor Disable'
         WHEN eventType IN ('user.lifecycle.activate', 'user.lifecycle.reactivate', 'user.lifecycle.unsuspend') THEN 'Enable'
         WHEN eventType IN ('user.lifecycle.deactivate', 'user.lifecycle.suspend') THEN 'Disable'
         WHEN eventType = 'group.user_membership.add' THEN 'Add User'
         WHEN eventType = 'group.user_membership.remove' THEN 'Remove User'
         WHEN eventType LIKE '%.privilege.grant' OR eventType = 'iam.resourceset.bindings.add' THEN 'Assign Privileges'
         WHEN eventType LIKE '%.privilege.revoke' OR eventType = 'iam.resourceset.bindings.delete' THEN 'Revoke Privileges'
         ELSE 'Other'
       END AS activity,
       CASE
         WHEN outcome.result IN ('SUCCESS', 'ALLOW') THEN 'Success'
         WHEN outcome.result IN ('FAILURE', 'DENY', 'REJECTED', 'ABANDONED', 'UNANSWERED', 'RATE_LIMIT') THEN 'Failure'
         ELSE 'Unknown'
       END AS status,
       outcome.reason AS status_detail,
       displayMessage AS message,
       eventType AS event_code,
       uuid AS native_uid,
       -- user_* is the account changed, actor_user_* who changed it.
       array_filter(target, t -> t['type'] = 'User')[1]['alternateId'] AS user_name,
       array_filter(target, t -> t['type'] = 'User')[1]['id'] AS user_uid,
       CASE
         WHEN array_filter(target, t -> t['type'] = 'User')[1]['alternateId'] LIKE '%@%'
         THEN array_filter(target, t -> t['type'] = 'User')[1]['alternateId']
       END AS user_email,
       nullif(actor.alternateId, 'unknown') AS actor_user_name,
       nullif(actor.id, 'unknown') AS actor_user_uid,
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
       client.userAgent.rawUserAgent AS user_agent,
       client.userAgent.os AS device_os,
       client.device AS device_type,
       nullif(authenticationContext.externalSessionId, 'unknown') AS session_uid,
       array_filter(target, t -> t['type'] = 'UserGroup')[1]['displayName'] AS target_group,
       array_filter(target, t -> t['type'] = 'UserGroup')[1]['id'] AS target_group_uid,
       coalesce(
         json_get_str(debugContext, 'debugData', 'privilegeGranted'),
         json_get_str(debugContext, 'debugData', 'privilegeRevoked'),
         array_filter(target, t -> t['type'] = 'ROLE')[1]['displayName']
       ) AS target_role,
       array_filter(target, t -> t['type'] IN ('AppInstance', 'IdentityProvider', 'PolicyEntity', 'PolicyRule'))[1]['displayName'] AS target_app
FROM okta_system
/*--- tests
- name: an admin role granted by one user to another
  raw: '{"uuid":"22222222-0000-4000-8000-000000000001","published":"2025-12-31T09:00:00.000Z","eventType":"user.account.privilege.grant","displayMessage":"Grant user privilege","outcome":{"result":"SUCCESS"},"actor":{"id":"00uadm","type":"User","alternateId":"adm@example.com"},"client":{"ipAddress":"203.0.113.9","userAgent":{"rawUserAgent":"Mozilla/5.0"}},"debugContext":{"debugData":{"privilegeGranted":"Super administrator"}},"target":[{"id":"00ubob","type":"User","alternateId":"bob@example.com","displayName":"Bob"}]}'
  expect:
    - {table: identity_change, class_uid: 3005, change: role_assigned, status: Success, user_name: bob@example.com, user_uid: 00ubob, actor_user_name: adm@example.com, actor_user_uid: 00uadm, target_role: Super administrator, src_ip: 203.0.113.9}
- name: all factors of a user reset
  raw: '{"uuid":"22222222-0000-4000-8000-000000000002","published":"2025-12-31T09:01:00.000Z","eventType":"user.mfa.factor.reset_all","outcome":{"result":"SUCCESS"},"actor":{"id":"00uadm","type":"User","alternateId":"adm@example.com"},"client":{"ipAddress":"203.0.113.9"},"target":[{"id":"00ubob","type":"User","alternateId":"bob@example.com"}]}'
  expect:
    - {table: identity_change, class_uid: 3001, change: mfa_removed, user_email: bob@example.com, actor_user_name: adm@example.com}
- name: a user added to a group
  raw: '{"uuid":"22222222-0000-4000-8000-000000000003","published":"2025-12-31T09:02:00.000Z","eventType":"group.user_membership.add","outcome":{"result":"SUCCESS"},"actor":{"id":"00uadm","type":"User","alternateId":"adm@example.com"},"client":{"ipAddress":"203.0.113.9"},"target":[{"id":"00ubob","type":"User","alternateId":"bob@example.com"},{"id":"00gadm","type":"UserGroup","displayName":"Administrators"}]}'
  expect:
    - {table: identity_change, class_uid: 3006, change: member_added, user_name: bob@example.com, target_group: Administrators, target_group_uid: 00gadm}
- name: a new identity provider has no account it is about
  raw: '{"uuid":"22222222-0000-4000-8000-000000000004","published":"2025-12-31T09:03:00.000Z","eventType":"system.idp.lifecycle.create","outcome":{"result":"SUCCESS"},"actor":{"id":"00uadm","type":"User","alternateId":"adm@example.com"},"client":{"ipAddress":"203.0.113.9"},"target":[{"id":"0oaidp","type":"IdentityProvider","displayName":"Partner IdP"}]}'
  expect:
    - {table: identity_change, class_uid: 3004, change: federation_changed, user_name: null, actor_user_name: adm@example.com, target_app: Partner IdP}
- name: a record with nothing but its keys says nothing
  raw: '{"eventType":"user.lifecycle.create","published":"2025-12-31T09:09:00.000Z","actor":{}}'
  expect:
    - {table: identity_change, status: Unknown, user_name: null, src_ip: null, actor_user_name: null}
---*/

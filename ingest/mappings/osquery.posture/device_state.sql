/*---
id: osquery.posture.device_state
title: "osquery: the posture of a device, from a scheduled query"
source: osquery.posture
to: device_state
class: 5019
codec: json
detect: {has: [hostIdentifier, unixTime, action, columns]}
columns:
  name: string
  hostIdentifier: string
  unixTime: timestamp
  calendarTime: string
  action: string
  decorations: {hostname: string, host_uuid: string, username: string, user_email: string}
  columns:
    disk_encrypted: string
    edr_running: string
    patch_age_days: string
    os_version: string
    platform: string
    compliant: string
    hostname: string
    user_email: string
time: unixTime
time_settings: {delay: 30s, lateness: 1h, max_skew: 5m, idle: 5m}
priority: 10
vendor: osquery
product: osquery
references: ["https://osquery.readthedocs.io/en/stable/deployment/logging/"]
---*/
SELECT unixTime AS time,
       'Log' AS activity,
       -- What a query found has no outcome.
       'Unknown' AS status,
       name AS event_code,
       action AS status_detail,
       hostIdentifier AS device_uid,
       coalesce(columns.hostname, decorations.hostname) AS device_hostname,
       columns.platform AS device_os,
       columns.os_version AS os_version,
       try_cast(columns.patch_age_days AS INT) AS patch_age_days,
       CASE columns.disk_encrypted WHEN '1' THEN true WHEN '0' THEN false END AS disk_encrypted,
       CASE columns.edr_running WHEN '1' THEN true WHEN '0' THEN false END AS edr_running,
       CASE columns.compliant WHEN '1' THEN true WHEN '0' THEN false END AS device_is_compliant,
       CASE columns.compliant WHEN '1' THEN 'compliant' WHEN '0' THEN 'not-compliant' END AS compliance_state,
       coalesce(columns.user_email, decorations.user_email) AS user_email,
       decorations.username AS user_name
FROM osquery_posture
-- A row that went ("removed") tells what was; the row that took its place tells what is.
WHERE action <> 'removed'
/*--- tests
- name: a device whose disk is plain and whose protection is off
  raw: '{"name":"pack_posture_device","hostIdentifier":"LAP-7","calendarTime":"Wed Dec 31 09:00:00 2025 UTC","unixTime":1767171600,"epoch":0,"counter":3,"numerics":false,"decorations":{"hostname":"lap-7","username":"ann"},"columns":{"disk_encrypted":"0","edr_running":"0","patch_age_days":"47","os_version":"15.2","platform":"darwin","compliant":"0","user_email":"ann@example.com"},"action":"added"}'
  expect:
    - {table: device_state, time: "2025-12-31T09:00:00Z", device_uid: LAP-7, device_hostname: lap-7, disk_encrypted: false, edr_running: false, patch_age_days: 47, device_is_compliant: false, compliance_state: not-compliant, user_email: ann@example.com, os_version: "15.2"}
- name: one that is well, of a query that says less
  raw: '{"name":"posture","hostIdentifier":"lap-8","unixTime":1767171660,"columns":{"disk_encrypted":"1"},"action":"snapshot"}'
  expect:
    - {table: device_state, status: Unknown, device_uid: lap-8, disk_encrypted: true, edr_running: null, device_is_compliant: null, patch_age_days: null}
- name: what a row was before is no row
  raw: '{"name":"posture","hostIdentifier":"lap-7","unixTime":1767171600,"columns":{"disk_encrypted":"1"},"action":"removed"}'
  expect: []
---*/

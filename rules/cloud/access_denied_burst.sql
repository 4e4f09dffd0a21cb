/*---
id: cloud.access_denied_burst
title: Many refused cloud calls
severity: medium
status: stable
description: Ten or more calls of one principal were refused within ten minutes. Stolen credentials are tried out before they are used.
attack: [TA0007, T1580, T1526]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A deployment whose role lost a right
  - A security scanner with a read-only role
blind_spots:
  - A principal whose rights are wide enough never to be refused
runbook: Look at the operations. A mix of unrelated services from a new address is reconnaissance, rotate the key or end the session.
references: ["https://attack.mitre.org/techniques/T1580/"]
---*/
SELECT user_entity,
       count(*) AS refused,
       count(DISTINCT api_operation) AS operations,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_refusal,
       max(time) AS last_refusal,
       concat(count(*), ' refused calls of ', user_entity, ' within 10 minutes') AS title
FROM api_activity
WHERE status = 'Failure'
  AND (error_code LIKE '%AccessDenied%' OR error_code LIKE '%UnauthorizedOperation%' OR error_code = 'Forbidden')
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) >= 10
/*--- tests
- name: ten refused calls fire
  events:
    - &denied {t: +0s, table: api_activity, status: Failure, error_code: AccessDenied, api_operation: ListBuckets, user_entity: ann, src_ip: 203.0.113.9}
    - {<<: *denied, t: +5s, repeat: 8, every: 5s}
    - {<<: *denied, t: +50s, error_code: Client.UnauthorizedOperation, api_operation: GetPasswordData}
  expect: [{user_entity: ann, refused: 10, operations: 2, sources: 1}]
- name: nine refused calls are quiet
  events: [{<<: *denied, repeat: 9, every: 5s}]
  expect: []
- name: other errors are quiet
  events: [{<<: *denied, error_code: ThrottlingException, repeat: 20, every: 5s}]
  expect: []
- name: the tenth exactly ten minutes after the first counts
  events:
    - {<<: *denied, repeat: 9, every: 60s}
    - {<<: *denied, t: +10m}
  expect: [{user_entity: ann, refused: 10}]
- name: one second later it does not
  events:
    - {<<: *denied, repeat: 9, every: 60s}
    - {<<: *denied, t: +601s}
  expect: []
- name: a late refusal completes the burst
  events:
    - {<<: *denied, repeat: 9, every: 10s}
    - {<<: *denied, t: +4m, user_entity: bob}
    - {<<: *denied, t: +3m}
  expect: [{user_entity: ann, refused: 10}]
---*/

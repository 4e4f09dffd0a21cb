/*---
id: cloud.parameters_decrypted_burst
title: Many parameters decrypted
severity: medium
status: stable
description: One principal asked four or more times within five minutes for lists of parameters with their secrets decrypted.
attack: [TA0006, T1555.006]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A fleet of functions that starts at once under one role
blind_spots:
  - A single call with up to ten names
runbook: Compare the names asked for with what the principal needs. Rotate the secrets if it is not a known program.
references: ["https://attack.mitre.org/techniques/T1555/006/"]
---*/
SELECT user_entity,
       count(*) AS calls,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_call,
       max(time) AS last_call,
       concat(user_entity, ' decrypted parameters in ', count(*), ' calls within 5 minutes') AS title
FROM api_activity
WHERE api_operation IN ('GetParameters', 'GetParametersByPath')
  AND (request LIKE '%"withDecryption":true%' OR request LIKE '%"withDecryption": true%')
  AND status = 'Success'
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '5 minutes')
HAVING count(*) >= 4
/*--- tests
- name: four calls fire
  events:
    - &get {t: +0s, table: api_activity, api_operation: GetParameters, status: Success, user_entity: ann, src_ip: 203.0.113.9, request: '{"names":["/db/a","/db/b"],"withDecryption":true}'}
    - {<<: *get, t: +1s, repeat: 3, every: 1s}
  expect: [{user_entity: ann, calls: 4, sources: 1}]
- name: three calls are quiet
  events: [{<<: *get, repeat: 3, every: 1s}]
  expect: []
- name: calls without decryption are quiet
  events: [{<<: *get, request: '{"names":["/db/a"],"withDecryption":false}', repeat: 10, every: 1s}]
  expect: []
- name: the fourth exactly five minutes after the first counts
  events:
    - {<<: *get, repeat: 3, every: 1s}
    - {<<: *get, t: +5m}
  expect: [{user_entity: ann, calls: 4}]
- name: one second later it does not
  events:
    - {<<: *get, repeat: 3, every: 1s}
    - {<<: *get, t: +301s}
  expect: []
- name: a late call completes it
  events:
    - {<<: *get, repeat: 3, every: 1s}
    - {<<: *get, t: +4m, user_entity: bob}
    - {<<: *get, t: +1m}
  expect: [{user_entity: ann, calls: 4}]
---*/

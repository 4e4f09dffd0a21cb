/*---
id: cloud.secrets_enumeration
title: Many different secrets read
severity: high
status: stable
description: One principal read ten or more different secrets within ten minutes.
attack: [TA0006, T1555.006]
entity: {user_entity: user}
risk: 35
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A backup or rotation job, which should have a role of its own that can be left out here
blind_spots:
  - Secrets read in one batch call name no single secret, see cloud.secrets_batch_read
runbook: List the secrets read, rotate them if the principal is not a known job. Check where the key was used from.
references: ["https://attack.mitre.org/techniques/T1555/006/"]
---*/
SELECT user_entity,
       count(DISTINCT resource_uid) AS secrets,
       count(*) AS reads,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_read,
       max(time) AS last_read,
       concat(user_entity, ' read ', count(DISTINCT resource_uid), ' different secrets within 10 minutes') AS title
FROM api_activity
WHERE api_operation = 'GetSecretValue'
  AND status = 'Success'
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(DISTINCT resource_uid) >= 10
/*--- tests
- name: ten secrets in two minutes fire
  events:
    - &read {t: +0s, table: api_activity, api_service: secretsmanager.amazonaws.com, api_operation: GetSecretValue, status: Success, user_entity: ann, src_ip: 203.0.113.9, resource_uid: s0}
    - {<<: *read, t: +10s, resource_uid: s1}
    - {<<: *read, t: +20s, resource_uid: s2}
    - {<<: *read, t: +30s, resource_uid: s3}
    - {<<: *read, t: +40s, resource_uid: s4}
    - {<<: *read, t: +50s, resource_uid: s5}
    - {<<: *read, t: +60s, resource_uid: s6}
    - {<<: *read, t: +70s, resource_uid: s7}
    - {<<: *read, t: +80s, resource_uid: s8}
    - {<<: *read, t: +90s, resource_uid: s9}
  expect: [{user_entity: ann, secrets: 10, reads: 10}]
- name: one secret read many times is quiet
  events: [{<<: *read, repeat: 60, every: 5s}]
  expect: []
- name: the tenth secret exactly ten minutes after the first counts
  events:
    - *read
    - {<<: *read, t: +10s, resource_uid: s1}
    - {<<: *read, t: +20s, resource_uid: s2}
    - {<<: *read, t: +30s, resource_uid: s3}
    - {<<: *read, t: +40s, resource_uid: s4}
    - {<<: *read, t: +50s, resource_uid: s5}
    - {<<: *read, t: +60s, resource_uid: s6}
    - {<<: *read, t: +70s, resource_uid: s7}
    - {<<: *read, t: +80s, resource_uid: s8}
    - {<<: *read, t: +10m, resource_uid: s9}
  expect: [{user_entity: ann, secrets: 10}]
- name: a late tenth secret fires
  events:
    - *read
    - {<<: *read, t: +10s, resource_uid: s1}
    - {<<: *read, t: +20s, resource_uid: s2}
    - {<<: *read, t: +30s, resource_uid: s3}
    - {<<: *read, t: +40s, resource_uid: s4}
    - {<<: *read, t: +50s, resource_uid: s5}
    - {<<: *read, t: +60s, resource_uid: s6}
    - {<<: *read, t: +70s, resource_uid: s7}
    - {<<: *read, t: +80s, resource_uid: s8}
    - {<<: *read, t: +5m, user_entity: bob}
    - {<<: *read, t: +2m, resource_uid: s9}
  expect: [{user_entity: ann, secrets: 10}]
---*/

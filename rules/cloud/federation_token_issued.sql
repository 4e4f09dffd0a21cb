/*---
id: cloud.federation_token_issued
title: Federation token issued to an IAM user
severity: medium
status: stable
description: An IAM user asked for a federation token. The token outlives the deletion of the key it was made with.
attack: [TA0003, TA0008, T1550.001, T1098.001]
entity: {user_entity: user}
risk: 25
suppression: {by: [user_entity], for: 1h}
false_positives:
  - An own access portal that works with federation tokens
runbook: Ask the owner of the user. To end such a session, attach a policy that denies everything to the user. Deleting the key does not.
references: ["https://attack.mitre.org/techniques/T1550/001/"]
---*/
SELECT time,
       user_entity,
       session_uid AS access_key,
       src_ip,
       cloud_account_uid,
       user_agent,
       concat(user_entity, ' made a federation token from ', src_ip) AS title
FROM authentication
WHERE event_code = 'GetFederationToken'
  AND status = 'Success'
/*--- tests
- name: a token is issued
  events:
    - &token {t: +0s, table: authentication, source: aws.cloudtrail, event_code: GetFederationToken, status: Success, user_entity: ann, session_uid: AKIAEXAMPLE1, src_ip: 203.0.113.9}
  expect: [{user_entity: ann, access_key: AKIAEXAMPLE1}]
- name: a refused token is quiet
  events: [{<<: *token, status: Failure}]
  expect: []
- name: a session token is quiet
  events: [{<<: *token, event_code: GetSessionToken}]
  expect: []
---*/

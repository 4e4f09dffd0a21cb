/*---
id: identity.phishing_refused_by_factor
title: A factor refused to sign in at a phishing site
severity: high
status: stable
description: FastPass of Okta declined a sign-in because the site that asked was not the real one. The user was led there, and others may have been who have no such factor.
attack: [TA0001, T1566.002]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A sign-in through a proxy that rewrites addresses, or a test of the setting
runbook: Ask the user for the message and the address. Block it, and look who else opened it. Reset the password of those who typed it.
references: ["https://sec.okta.com/fastpassphishingdetection", "https://attack.mitre.org/techniques/T1566/002/"]
---*/
SELECT time,
       user_entity,
       status_detail,
       src_ip,
       src_country,
       user_agent,
       device_hostname,
       concat(user_entity, ' was led to a phishing site; the factor refused') AS title
FROM authentication
WHERE event_code = 'user.authentication.auth_via_mfa'
  AND status = 'Failure'
  AND icontains(status_detail, 'phishing')
/*--- tests
- name: a declined attempt
  events:
    - &declined {t: +0s, table: authentication, event_code: user.authentication.auth_via_mfa, status: Failure, failure_reason: mfa_failed, status_detail: FastPass declined phishing attempt, user_entity: ann@example.com}
  expect: [{user_entity: ann@example.com}]
- name: as Okta writes it
  events:
    - {t: +0s, source: okta.system, raw: '{"uuid":"11111111-0000-4000-8000-000000000001","published":"2026-01-01T00:00:00.000Z","eventType":"user.authentication.auth_via_mfa","outcome":{"result":"FAILURE","reason":"FastPass declined phishing attempt"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9"},"target":[]}'}
  expect: [{user_entity: ann@example.com, src_ip: 203.0.113.9}]
- name: another failed factor is quiet
  events: [{<<: *declined, status_detail: INVALID_CREDENTIALS}]
  expect: []
---*/

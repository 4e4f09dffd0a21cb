/*---
id: identity.session_impersonated
title: Support may act in the organisation
severity: medium
status: stable
description: A session of the provider's support began to impersonate an administrator of the organisation, or an administrator granted or extended that right.
attack: [TA0006, T1550]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A support case that is open and known
runbook: Ask who opened the case. If nobody did, revoke the grant and look at every change since then.
references: ["https://attack.mitre.org/techniques/T1550/"]
---*/
SELECT time,
       user_entity,
       event_code,
       message,
       src_ip,
       src_country,
       concat('Impersonation: ', coalesce(message, event_code), ' by ', user_entity) AS title
FROM authentication
WHERE source = 'okta.system'
  AND event_code IN ('user.session.impersonation.initiate', 'user.session.impersonation.grant', 'user.session.impersonation.extend')
  AND status = 'Success'
/*--- tests
- name: support begins to act
  events:
    - &begin {t: +0s, table: authentication, source: okta.system, event_code: user.session.impersonation.initiate, status: Success, user_entity: support@okta.com, message: Impersonation initiated}
  expect: [{user_entity: support@okta.com, title: "Impersonation: Impersonation initiated by support@okta.com"}]
- name: the right is granted
  events: [{<<: *begin, event_code: user.session.impersonation.grant, user_entity: ann, message: null}]
  expect: [{title: "Impersonation: user.session.impersonation.grant by ann"}]
- name: the end of it is quiet
  events: [{<<: *begin, event_code: user.session.impersonation.end}]
  expect: []
- name: as Okta sends it
  events:
    - {t: +0s, source: okta.system, raw: '{"uuid":"i1","published":"2026-01-01T00:00:00.000Z","eventType":"user.session.impersonation.initiate","displayMessage":"Impersonation initiated","outcome":{"result":"SUCCESS"},"actor":{"id":"00u1","type":"User","alternateId":"support@okta.com"},"client":{"ipAddress":"203.0.113.9"},"target":[]}'}
  expect: [{user_entity: support@okta.com}]
---*/

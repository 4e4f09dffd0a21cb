/*---
id: identity.passwords_pushed_to_app
title: Passwords of users pushed to an application
severity: high
status: stable
description: An application of Okta was set to receive the passwords of its users. Who owns the application reads them in clear.
attack: [TA0006, T1556]
entity: {actor_user_entity: user}
risk: 40
suppression: {by: [actor_user_entity, target_app], for: 1h}
false_positives:
  - A directory that is provisioned with passwords, which is set up once
runbook: Find out what receives the passwords. Turn the push off, and reset the passwords of the users assigned to the application if it is not a known directory.
references: ["https://attack.mitre.org/techniques/T1556/"]
---*/
SELECT time,
       actor_user_entity,
       target_app,
       status_detail,
       src_ip,
       src_country,
       concat(actor_user_entity, ' had passwords pushed to ', coalesce(target_app, 'an application')) AS title
FROM identity_change
WHERE event_code = 'application.lifecycle.update'
  AND status = 'Success'
  AND icontains(status_detail, 'pushing user passwords')
/*--- tests
- name: the push is turned on
  events:
    - &push {t: +0s, table: identity_change, event_code: application.lifecycle.update, change: app_changed, status: Success, status_detail: Pushing user passwords, actor_user_entity: eve@example.com, target_app: Directory}
  expect: [{actor_user_entity: eve@example.com, title: eve@example.com had passwords pushed to Directory}]
- name: as Okta writes it
  events:
    - {t: +0s, source: okta.system, raw: '{"uuid":"11111111-0000-4000-8000-000000000002","published":"2026-01-01T00:00:00.000Z","eventType":"application.lifecycle.update","outcome":{"result":"SUCCESS","reason":"Pushing user passwords"},"actor":{"id":"00ueve","type":"User","alternateId":"eve@example.com"},"client":{"ipAddress":"203.0.113.9"},"target":[{"id":"0oa1","type":"AppInstance","alternateId":"Directory","displayName":"Directory"}]}'}
  expect: [{actor_user_entity: eve@example.com}]
- name: another change of the application is quiet
  events: [{<<: *push, status_detail: null}]
  expect: []
- name: a failed change is quiet
  events: [{<<: *push, status: Failure}]
  expect: []
---*/

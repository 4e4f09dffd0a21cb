/*---
id: identity.mfa_factor_removed
title: MFA factor removed by somebody else
severity: medium
status: stable
description: A factor of a user was removed or reset by another account. Help desks do this on request, attackers do it before they enrol their own.
attack: [TA0003, T1556.006]
entity: {user_entity: user, actor_user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A lost phone and a help-desk ticket
blind_spots:
  - A user talked into removing the own factor
runbook: Check for a ticket of the user. Watch the account for a new factor and for sign-ins from new places in the next hours.
references: ["https://attack.mitre.org/techniques/T1556/006/"]
---*/
SELECT time,
       user_entity,
       actor_user_entity,
       event_code,
       src_ip,
       src_country,
       concat(actor_user_entity, ' removed an MFA factor of ', user_entity) AS title
FROM identity_change
WHERE change = 'mfa_removed'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND actor_user_entity IS NOT NULL
  AND user_entity <> actor_user_entity
/*--- tests
- name: an administrator resets the factors of a user
  events:
    - &reset {t: +0s, table: identity_change, change: mfa_removed, status: Success, user_entity: bob@example.com, actor_user_entity: adm@example.com, event_code: user.mfa.factor.reset_all}
  expect: [{user_entity: bob@example.com, actor_user_entity: adm@example.com}]
- name: removing the own factor is quiet
  events: [{<<: *reset, actor_user_entity: bob@example.com}]
  expect: []
- name: adding a factor is quiet
  events: [{<<: *reset, change: mfa_added}]
  expect: []
- name: without a known actor there is nobody to compare
  events: [{<<: *reset, actor_user_entity: null}]
  expect: []
---*/

/*---
id: identity.mfa_factor_added_unusual_country
title: MFA factor enrolled from where the user does not sign in
severity: high
status: experimental
description: A factor was enrolled from a country and a network that are both unusual for the sign-ins of this user, as the baseline of sign-ins knew them when the day began. The step that makes a taken account last.
attack: [TA0003, TA0006, T1556.006, T1098.005]
entity: {user_entity: user, src_ip: ip}
risk: 30
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A new phone, bought and enrolled on a journey
blind_spots:
  - A user without a history of sign-ins, of whom nothing is unusual
  - An attacker who has signed in from there for more than five days
runbook: Look for refused pushes or a factor reset of the same user in the hours before, and at the sign-ins from this address. If the user does not know the factor, remove it and treat the account as taken.
references: ["https://attack.mitre.org/techniques/T1098/005/"]
---*/
SELECT time,
       user_entity,
       src_ip,
       src_country,
       surprise('user_signin', 'country', user_entity, src_country) AS country_surprise,
       surprise('user_signin', 'network', user_entity, coalesce(CAST(src_asn AS VARCHAR), src_ip)) AS network_surprise,
       concat('new MFA factor for ', user_entity, ' enrolled from ', src_country, ', where this user does not sign in') AS title
FROM identity_change
WHERE change = 'mfa_added'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND surprise('user_signin', 'country', user_entity, src_country) > 2.5
  AND surprise('user_signin', 'network', user_entity, coalesce(CAST(src_asn AS VARCHAR), src_ip)) > 2.5
/*--- tests
- name: an enrolment from another country and network after two months of one place fires
  events:
    - &usual {t: +9h, repeat: 60, every: 24h, table: authentication, user_name: ann@example.com, status: Success,
              src_country: DE, src_asn: 3320, app_name: mail, device_uid: laptop-1}
    - {<<: *usual, t: +14h}
    - &add {t: "2026-03-02T10:00:00Z", table: identity_change, change: mfa_added, status: Success,
            user_name: ann@example.com, src_country: BR, src_asn: 28573, src_ip: 203.0.113.9}
  expect: [{user_entity: ann@example.com, src_country: BR}]
- name: an enrolment from home is quiet
  events:
    - *usual
    - {<<: *usual, t: +14h}
    - {<<: *add, src_country: DE, src_asn: 3320}
  expect: []
- name: an enrolment from another network at home is quiet
  events:
    - *usual
    - {<<: *usual, t: +14h}
    - {<<: *add, src_country: DE}
  expect: []
- name: of somebody without a history nothing is unusual
  events:
    - *usual
    - {<<: *usual, t: +14h}
    - {<<: *add, user_name: bob@example.com}
  expect: []
- name: an enrolment that failed is quiet
  events:
    - *usual
    - {<<: *usual, t: +14h}
    - {<<: *add, status: Failure}
  expect: []
---*/

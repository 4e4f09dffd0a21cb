/*---
id: baselines.user_signin
title: Where, when and from what each user signs in
kind: baseline
description: Successful sign-ins of each user against their own history, with the organisation as prior.
entity: {user: user_entity}
unit: day
peer_group: learned
features:
  country: {kind: categorical, tactic: TA0001}
  network: {kind: categorical, tactic: TA0001}
  application: {kind: categorical, tactic: TA0001}
  device: {kind: categorical, tactic: TA0001}
  hour: {kind: time_of_week, column: time}
alarm_rate: 1 per 1000 entity-days
half_life: 24h
---*/
SELECT time,
       user_entity,
       src_country AS country,
       coalesce(CAST(src_asn AS VARCHAR), src_ip) AS network,
       app_name AS application,
       coalesce(device_uid, user_agent) AS device
FROM authentication
WHERE status = 'Success'
  AND user_entity IS NOT NULL
/*--- tests
- name: another country, network, application and device by night after two months of one place
  events:
    - &usual {t: +9h, repeat: 60, every: 24h, table: authentication, user_name: ann@example.com, status: Success,
              src_country: DE, src_asn: 3320, app_name: mail, device_uid: laptop-1}
    - {<<: *usual, t: +14h}
    - {<<: *usual, t: "2026-03-02T03:00:00Z", repeat: 1, src_country: BR, src_asn: 28573, app_name: admin, device_uid: phone-9}
  expect: [{entity: ann@example.com}]
- name: another country alone is what a traveller does
  events:
    - *usual
    - {<<: *usual, t: +14h}
    - {<<: *usual, t: "2026-03-02T10:00:00Z", repeat: 1, src_country: FR}
  expect: []
- name: the first day of somebody is quiet beside others
  events:
    - *usual
    - {<<: *usual, t: "2026-03-02T10:00:00Z", repeat: 1, user_name: bob@example.com, src_country: BR, src_asn: 28573, device_uid: laptop-2}
  expect: []
- name: sign-ins that failed are not looked at
  events:
    - *usual
    - {<<: *usual, t: +14h}
    - {<<: *usual, t: "2026-03-02T03:00:00Z", repeat: 1, status: Failure, src_country: BR, src_asn: 28573, app_name: admin, device_uid: phone-9}
  expect: []
---*/

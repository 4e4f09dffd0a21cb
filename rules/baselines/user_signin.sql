/*---
id: baselines.user_signin
title: Where, when and from what each user signs in
kind: baseline
description: Successful sign-ins of each user against their own history, with the organisation as prior.
entity: {user: user_entity}
unit: day
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

/*---
id: baselines.actor_api_use
title: What each actor does over the APIs of the cloud
kind: baseline
description: Services, operations and regions of each actor, and how many calls and different operations a day.
entity: {user: actor_user_entity}
unit: day
features:
  service: {kind: categorical, tactic: TA0007}
  operation: {kind: categorical, tactic: TA0007}
  region: {kind: categorical, tactic: TA0005}
  calls: {kind: count, windows: [1h, 1d], tactic: TA0007}
  operations: {kind: distinct, column: operation, windows: [1d], tactic: TA0007}
alarm_rate: 1 per 1000 entity-days
half_life: 24h
---*/
SELECT time,
       actor_user_entity,
       api_service AS service,
       api_operation AS operation,
       cloud_region AS region
FROM api_activity

/*---
id: baselines.actor_api_use
title: What each actor does over the APIs of the cloud
status: experimental
kind: baseline
description: Services, operations and regions of each actor, and how many calls and different operations a day.
entity: {user: actor}
unit: day
peer_group: learned
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
       -- Who acts in the name of another is the actor.
       coalesce(actor_user_entity, user_entity) AS actor,
       api_service AS service,
       api_operation AS operation,
       cloud_region AS region
FROM api_activity
WHERE coalesce(actor_user_entity, user_entity) IS NOT NULL
/*--- tests
- name: another service in another region, many calls of many operations
  events:
    - &usual {t: +9h, repeat: 60, every: 24h, table: api_activity, user_name: deploy, api_service: s3.amazonaws.com,
              api_operation: GetObject, cloud_region: eu-central-1}
    - {<<: *usual, t: +9h10m, api_operation: PutObject}
    - &other {<<: *usual, t: "2026-03-02T09:00:00Z", repeat: 40, every: 20s, api_service: iam.amazonaws.com, api_operation: ListUsers, cloud_region: ap-east-1}
    - {<<: *other, api_operation: CreateAccessKey}
    - {<<: *other, api_operation: AttachUserPolicy}
  expect: [{entity: deploy}]
- name: a few more calls of what is usual
  events:
    - *usual
    - {<<: *usual, t: +9h10m, api_operation: PutObject}
    - {<<: *usual, t: "2026-03-02T09:00:00Z", repeat: 3, every: 1m}
  expect: []
---*/

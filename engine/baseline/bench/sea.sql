/*---
id: sea
title: Which Unix commands each person uses (Schonlau et al. 2001)
kind: baseline
entity: {user: entity}
unit: day
warmup: 50 units
features:
  command: {kind: categorical}
alarm_rate: 1 per 1000 entity-days
columns: {time: timestamp, entity: string, command: string}
---*/
SELECT time, entity, command
FROM input

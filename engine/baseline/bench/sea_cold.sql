/*---
id: sea_cold
title: Which Unix commands each person uses, from the first day on
kind: baseline
entity: {user: entity}
unit: day
features:
  command: {kind: categorical}
alarm_rate: 1 per 1000 entity-days
columns: {time: timestamp, entity: string, command: string}
---*/
SELECT time, entity, command
FROM input

/*---
id: git
title: Who commits when, from which time zone, to which folders
kind: baseline
entity: {user: entity}
unit: day
warmup: 30 units
features:
  folder: {kind: categorical, column: dir}
  hour: {kind: time_of_week, column: time, tz: tz}
  zone: {kind: categorical, column: tz}
alarm_rate: 1 per 1000 entity-days
columns: {time: timestamp, entity: string, tz: string, dir: string}
---*/
SELECT time, entity, tz, dir
FROM input

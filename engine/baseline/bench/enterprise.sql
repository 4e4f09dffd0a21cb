/*---
id: enterprise
title: Sign-ins of an enterprise (generated)
kind: baseline
entity: {user: entity}
unit: day
peer_group: learned
warmup: 10 units
features:
  country: {kind: categorical}
  network: {kind: categorical}
  application: {kind: categorical}
  device: {kind: categorical}
  host: {kind: edge}
  hour: {kind: time_of_week, column: time, tz: tz}
  bytes: {kind: numeric}
  hosts: {kind: distinct, column: host, windows: [1d]}
alarm_rate: 1 per 1000 entity-days
columns: {time: timestamp, entity: string, country: string, network: string, application: string, device: string, host: string, bytes: float, tz: string}
---*/
SELECT time, entity, country, network, application, device, host, bytes, tz
FROM input

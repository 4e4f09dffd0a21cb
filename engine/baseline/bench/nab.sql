/*---
id: nab
title: One number over time (Numenta Anomaly Benchmark)
kind: baseline
entity: {device: entity}
unit: events(1)
features:
  value: {kind: numeric}
alarm_rate: 1 per 1000 units
columns: {time: timestamp, entity: string, value: float}
---*/
SELECT time, entity, value
FROM input

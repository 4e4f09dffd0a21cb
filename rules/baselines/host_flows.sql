/*---
id: baselines.host_flows
title: Whom each host talks to, and how much
kind: baseline
description: Destinations and ports of each host as edges, bytes per flow, and how many hosts it reaches.
entity: {ip: src_ip}
class: workload
unit: day
features:
  destination: {kind: edge, tactic: TA0008}
  port: {kind: edge, tactic: TA0008}
  bytes: {kind: numeric, tactic: TA0010}
  flows: {kind: count, windows: [1h, 1d], tactic: TA0008}
  fan_out: {kind: distinct, column: destination, windows: [1h, 1d], tactic: TA0007}
alarm_rate: 1 per 1000 entity-days
half_life: 2h
---*/
SELECT time,
       src_ip,
       dst_ip AS destination,
       dst_port AS port,
       bytes_out AS bytes
FROM network
WHERE is_private(src_ip)

/*---
id: baselines.host_flows
title: Whom each host talks to, and how much
kind: baseline
description: Destinations and ports of each host as edges, bytes per flow, and how many hosts it reaches.
entity: {ip: src_ip}
class: workload
unit: day
peer_group: learned
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
/*--- tests
- name: a host that talked to one server reaches four over SMB and sends much
  events:
    - &usual {t: +9h, repeat: 60, every: 24h, table: network, src_ip: 10.0.0.5, dst_ip: 10.0.1.1, dst_port: 443, bytes_out: 4000}
    - {<<: *usual, t: +9h30m, bytes_out: 5000}
    - {<<: *usual, t: +10h, bytes_out: 4500}
    - &other {<<: *usual, t: "2026-03-02T09:00:00Z", repeat: 20, every: 30s, dst_port: 445, dst_ip: 10.0.2.1, bytes_out: 90000000}
    - {<<: *other, dst_ip: 10.0.2.2}
    - {<<: *other, dst_ip: 10.0.2.3}
    - {<<: *other, dst_ip: 10.0.2.4}
  expect: [{entity: 10.0.0.5}]
- name: another size of what is usual
  events:
    - *usual
    - {<<: *usual, t: +9h30m, bytes_out: 5000}
    - {<<: *usual, t: "2026-03-02T09:00:00Z", repeat: 1, bytes_out: 6000}
  expect: []
- name: hosts on the internet have no baseline
  events:
    - {<<: *usual, src_ip: 8.8.8.8}
    - {<<: *usual, src_ip: 8.8.8.8, t: "2026-03-02T09:00:00Z", repeat: 90, every: 1m, dst_port: 445, dst_ip: 10.0.2.1}
  expect: []
---*/

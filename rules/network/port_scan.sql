/*---
id: network.port_scan
title: Port scan of one host
severity: medium
status: stable
description: One address tried twenty or more ports of one host within five minutes and was mostly refused, as flow records show.
attack: [TA0007, T1046]
entity: {src_ip: ip, dst_ip: ip}
risk: 20
suppression: {by: [src_ip, dst_ip], for: 1h}
false_positives:
  - A vulnerability scanner of the own team
  - A monitoring host that checks many services
blind_spots:
  - A scan slower than four ports a minute
  - The stateful answers of a busy server to one client are not refused and so not counted
runbook: From inside, find the process on the source and isolate it. From outside, check that what answered should be reachable.
references: ["https://attack.mitre.org/techniques/T1046/"]
---*/
SELECT src_ip,
       dst_ip,
       count(DISTINCT dst_port) AS ports,
       count(*) AS flows,
       min(time) AS first_flow,
       max(time) AS last_flow,
       concat(src_ip, ' was refused at ', count(DISTINCT dst_port), ' ports of ', dst_ip, ' within 5 minutes') AS title
FROM network
WHERE action = 'Denied'
  AND src_ip IS NOT NULL
  AND dst_ip IS NOT NULL
GROUP BY src_ip, dst_ip, sliding(time, INTERVAL '5 minutes')
HAVING count(DISTINCT dst_port) >= 20
/*--- tests
- name: 20 different values fire
  events:
    - &flow {t: +0s, table: network, action: Denied, src_ip: 10.0.2.9, dst_ip: 10.0.1.5, protocol: tcp, dst_port: 20}
    - {<<: *flow, t: +1s, dst_port: 21}
    - {<<: *flow, t: +2s, dst_port: 22}
    - {<<: *flow, t: +3s, dst_port: 23}
    - {<<: *flow, t: +4s, dst_port: 24}
    - {<<: *flow, t: +5s, dst_port: 25}
    - {<<: *flow, t: +6s, dst_port: 26}
    - {<<: *flow, t: +7s, dst_port: 27}
    - {<<: *flow, t: +8s, dst_port: 28}
    - {<<: *flow, t: +9s, dst_port: 29}
    - {<<: *flow, t: +10s, dst_port: 30}
    - {<<: *flow, t: +11s, dst_port: 31}
    - {<<: *flow, t: +12s, dst_port: 32}
    - {<<: *flow, t: +13s, dst_port: 33}
    - {<<: *flow, t: +14s, dst_port: 34}
    - {<<: *flow, t: +15s, dst_port: 35}
    - {<<: *flow, t: +16s, dst_port: 36}
    - {<<: *flow, t: +17s, dst_port: 37}
    - {<<: *flow, t: +18s, dst_port: 38}
    - {<<: *flow, t: +19s, dst_port: 39}
  expect: [{src_ip: 10.0.2.9, dst_ip: 10.0.1.5, ports: 20}]
- name: one less is quiet
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_port: 21}
    - {<<: *flow, t: +2s, dst_port: 22}
    - {<<: *flow, t: +3s, dst_port: 23}
    - {<<: *flow, t: +4s, dst_port: 24}
    - {<<: *flow, t: +5s, dst_port: 25}
    - {<<: *flow, t: +6s, dst_port: 26}
    - {<<: *flow, t: +7s, dst_port: 27}
    - {<<: *flow, t: +8s, dst_port: 28}
    - {<<: *flow, t: +9s, dst_port: 29}
    - {<<: *flow, t: +10s, dst_port: 30}
    - {<<: *flow, t: +11s, dst_port: 31}
    - {<<: *flow, t: +12s, dst_port: 32}
    - {<<: *flow, t: +13s, dst_port: 33}
    - {<<: *flow, t: +14s, dst_port: 34}
    - {<<: *flow, t: +15s, dst_port: 35}
    - {<<: *flow, t: +16s, dst_port: 36}
    - {<<: *flow, t: +17s, dst_port: 37}
    - {<<: *flow, t: +18s, dst_port: 38}
  expect: []
- name: accepted flows are quiet
  events:
    - &other {<<: *flow, action: Allowed}
    - {<<: *other, t: +1s, dst_port: 21}
    - {<<: *other, t: +2s, dst_port: 22}
    - {<<: *other, t: +3s, dst_port: 23}
    - {<<: *other, t: +4s, dst_port: 24}
    - {<<: *other, t: +5s, dst_port: 25}
    - {<<: *other, t: +6s, dst_port: 26}
    - {<<: *other, t: +7s, dst_port: 27}
    - {<<: *other, t: +8s, dst_port: 28}
    - {<<: *other, t: +9s, dst_port: 29}
    - {<<: *other, t: +10s, dst_port: 30}
    - {<<: *other, t: +11s, dst_port: 31}
    - {<<: *other, t: +12s, dst_port: 32}
    - {<<: *other, t: +13s, dst_port: 33}
    - {<<: *other, t: +14s, dst_port: 34}
    - {<<: *other, t: +15s, dst_port: 35}
    - {<<: *other, t: +16s, dst_port: 36}
    - {<<: *other, t: +17s, dst_port: 37}
    - {<<: *other, t: +18s, dst_port: 38}
    - {<<: *other, t: +19s, dst_port: 39}
  expect: []
- name: the last exactly 5 minutes after the first counts
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_port: 21}
    - {<<: *flow, t: +2s, dst_port: 22}
    - {<<: *flow, t: +3s, dst_port: 23}
    - {<<: *flow, t: +4s, dst_port: 24}
    - {<<: *flow, t: +5s, dst_port: 25}
    - {<<: *flow, t: +6s, dst_port: 26}
    - {<<: *flow, t: +7s, dst_port: 27}
    - {<<: *flow, t: +8s, dst_port: 28}
    - {<<: *flow, t: +9s, dst_port: 29}
    - {<<: *flow, t: +10s, dst_port: 30}
    - {<<: *flow, t: +11s, dst_port: 31}
    - {<<: *flow, t: +12s, dst_port: 32}
    - {<<: *flow, t: +13s, dst_port: 33}
    - {<<: *flow, t: +14s, dst_port: 34}
    - {<<: *flow, t: +15s, dst_port: 35}
    - {<<: *flow, t: +16s, dst_port: 36}
    - {<<: *flow, t: +17s, dst_port: 37}
    - {<<: *flow, t: +18s, dst_port: 38}
    - {<<: *flow, t: +300s, dst_port: 39}
  expect: [{src_ip: 10.0.2.9, dst_ip: 10.0.1.5, ports: 20}]
- name: one second later it does not
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_port: 21}
    - {<<: *flow, t: +2s, dst_port: 22}
    - {<<: *flow, t: +3s, dst_port: 23}
    - {<<: *flow, t: +4s, dst_port: 24}
    - {<<: *flow, t: +5s, dst_port: 25}
    - {<<: *flow, t: +6s, dst_port: 26}
    - {<<: *flow, t: +7s, dst_port: 27}
    - {<<: *flow, t: +8s, dst_port: 28}
    - {<<: *flow, t: +9s, dst_port: 29}
    - {<<: *flow, t: +10s, dst_port: 30}
    - {<<: *flow, t: +11s, dst_port: 31}
    - {<<: *flow, t: +12s, dst_port: 32}
    - {<<: *flow, t: +13s, dst_port: 33}
    - {<<: *flow, t: +14s, dst_port: 34}
    - {<<: *flow, t: +15s, dst_port: 35}
    - {<<: *flow, t: +16s, dst_port: 36}
    - {<<: *flow, t: +17s, dst_port: 37}
    - {<<: *flow, t: +18s, dst_port: 38}
    - {<<: *flow, t: +301s, dst_port: 39}
  expect: []
- name: a late flow completes it
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_port: 21}
    - {<<: *flow, t: +2s, dst_port: 22}
    - {<<: *flow, t: +3s, dst_port: 23}
    - {<<: *flow, t: +4s, dst_port: 24}
    - {<<: *flow, t: +5s, dst_port: 25}
    - {<<: *flow, t: +6s, dst_port: 26}
    - {<<: *flow, t: +7s, dst_port: 27}
    - {<<: *flow, t: +8s, dst_port: 28}
    - {<<: *flow, t: +9s, dst_port: 29}
    - {<<: *flow, t: +10s, dst_port: 30}
    - {<<: *flow, t: +11s, dst_port: 31}
    - {<<: *flow, t: +12s, dst_port: 32}
    - {<<: *flow, t: +13s, dst_port: 33}
    - {<<: *flow, t: +14s, dst_port: 34}
    - {<<: *flow, t: +15s, dst_port: 35}
    - {<<: *flow, t: +16s, dst_port: 36}
    - {<<: *flow, t: +17s, dst_port: 37}
    - {<<: *flow, t: +18s, dst_port: 38}
    - {<<: *flow, t: +4m, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +2m, dst_port: 39}
  expect: [{src_ip: 10.0.2.9, dst_ip: 10.0.1.5, ports: 20}]
---*/

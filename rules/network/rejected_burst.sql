/*---
id: network.rejected_burst
title: Internal host refused at many hosts
severity: medium
status: stable
description: An internal host was refused by ten or more internal hosts in one five-minute interval, whatever the port.
attack: [TA0007, T1046, T1018]
entity: {src_ip: ip}
risk: 15
suppression: {by: [src_ip], for: 1h}
false_positives:
  - A monitoring host after a change of security groups
blind_spots:
  - Bursts cut in two by the border between intervals
runbook: Find the process on the source that makes the connections.
references: ["https://attack.mitre.org/techniques/T1046/"]
---*/
SELECT src_ip,
       count(DISTINCT dst_ip) AS hosts,
       count(DISTINCT dst_port) AS ports,
       count(*) AS refused,
       min(time) AS first_flow,
       max(time) AS last_flow,
       concat(src_ip, ' was refused by ', count(DISTINCT dst_ip), ' internal hosts in 5 minutes') AS title
FROM network
WHERE action = 'Denied'
  AND direction = 'Lateral'
  AND src_ip IS NOT NULL
GROUP BY src_ip, tumble(time, INTERVAL '5 minutes')
HAVING count(DISTINCT dst_ip) >= 10
/*--- tests
- name: ten hosts in one interval fire
  events:
    - &flow {t: +0s, table: network, action: Denied, direction: Lateral, src_ip: 10.0.2.9, dst_port: 445, dst_ip: 10.0.1.1}
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +20s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +30s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +40s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +50s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +60s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +70s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +80s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +90s, dst_ip: 10.0.1.10}
  expect: [{src_ip: 10.0.2.9, hosts: 10, ports: 1, refused: 10}]
- name: nine hosts are quiet
  events:
    - *flow
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +20s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +30s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +40s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +50s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +60s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +70s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +80s, dst_ip: 10.0.1.9}
  expect: []
- name: ten hosts on two sides of the border are quiet
  events:
    - *flow
    - {<<: *flow, t: +296s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +297s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +298s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +299s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +300s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +301s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +302s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +303s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +304s, dst_ip: 10.0.1.10}
  expect: []
- name: a late refusal completes it
  events:
    - *flow
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +20s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +30s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +40s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +50s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +60s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +70s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +80s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +6m, src_ip: 10.0.2.10}
    - {<<: *flow, t: +2m, dst_ip: 10.0.1.10}
  expect: [{src_ip: 10.0.2.9, hosts: 10}]
---*/

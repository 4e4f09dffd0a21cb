/*---
id: network.internal_sweep
title: Sweep of internal hosts on an administration port
severity: high
status: stable
description: One internal address tried SSH, RDP, SMB or WinRM on fifteen or more internal hosts within ten minutes.
attack: [TA0007, TA0008, T1018, T1021]
entity: {src_ip: ip}
risk: 35
suppression: {by: [src_ip], for: 1h}
false_positives:
  - A configuration management server or a bastion host
  - A vulnerability scanner of the own team
blind_spots:
  - A sweep slower than three hosts in two minutes
  - Hosts in networks without flow logs
runbook: Find who is signed in on the source. Isolate it if it is not a known tool, then look for successful sign-ins from it on the hosts it reached.
references: ["https://attack.mitre.org/techniques/T1018/"]
---*/
SELECT src_ip,
       dst_port,
       count(DISTINCT dst_ip) AS hosts,
       count(*) FILTER (WHERE action = 'Allowed') AS accepted,
       count(*) FILTER (WHERE action = 'Denied') AS refused,
       min(time) AS first_flow,
       max(time) AS last_flow,
       concat(src_ip, ' tried port ', dst_port, ' on ', count(DISTINCT dst_ip), ' hosts within 10 minutes') AS title
FROM network
WHERE dst_port IN (22, 445, 3389, 5985, 5986)
  AND direction = 'Lateral'
  AND src_ip IS NOT NULL
GROUP BY src_ip, dst_port, sliding(time, INTERVAL '10 minutes')
HAVING count(DISTINCT dst_ip) >= 15
/*--- tests
- name: 15 different values fire
  events:
    - &flow {t: +0s, table: network, action: Denied, direction: Lateral, src_ip: 10.0.2.9, dst_port: 22, protocol: tcp, dst_ip: 10.0.1.1}
    - {<<: *flow, t: +1s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +2s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +3s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +4s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +5s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +6s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +7s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +8s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +9s, dst_ip: 10.0.1.10}
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.11}
    - {<<: *flow, t: +11s, dst_ip: 10.0.1.12}
    - {<<: *flow, t: +12s, dst_ip: 10.0.1.13}
    - {<<: *flow, t: +13s, dst_ip: 10.0.1.14}
    - {<<: *flow, t: +14s, dst_ip: 10.0.1.15}
  expect: [{src_ip: 10.0.2.9, dst_port: 22, hosts: 15}]
- name: one less is quiet
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +2s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +3s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +4s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +5s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +6s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +7s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +8s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +9s, dst_ip: 10.0.1.10}
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.11}
    - {<<: *flow, t: +11s, dst_ip: 10.0.1.12}
    - {<<: *flow, t: +12s, dst_ip: 10.0.1.13}
    - {<<: *flow, t: +13s, dst_ip: 10.0.1.14}
  expect: []
- name: traffic from outside is quiet here
  events:
    - &other {<<: *flow, direction: Inbound}
    - {<<: *other, t: +1s, dst_ip: 10.0.1.2}
    - {<<: *other, t: +2s, dst_ip: 10.0.1.3}
    - {<<: *other, t: +3s, dst_ip: 10.0.1.4}
    - {<<: *other, t: +4s, dst_ip: 10.0.1.5}
    - {<<: *other, t: +5s, dst_ip: 10.0.1.6}
    - {<<: *other, t: +6s, dst_ip: 10.0.1.7}
    - {<<: *other, t: +7s, dst_ip: 10.0.1.8}
    - {<<: *other, t: +8s, dst_ip: 10.0.1.9}
    - {<<: *other, t: +9s, dst_ip: 10.0.1.10}
    - {<<: *other, t: +10s, dst_ip: 10.0.1.11}
    - {<<: *other, t: +11s, dst_ip: 10.0.1.12}
    - {<<: *other, t: +12s, dst_ip: 10.0.1.13}
    - {<<: *other, t: +13s, dst_ip: 10.0.1.14}
    - {<<: *other, t: +14s, dst_ip: 10.0.1.15}
  expect: []
- name: the last exactly 10 minutes after the first counts
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +2s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +3s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +4s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +5s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +6s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +7s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +8s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +9s, dst_ip: 10.0.1.10}
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.11}
    - {<<: *flow, t: +11s, dst_ip: 10.0.1.12}
    - {<<: *flow, t: +12s, dst_ip: 10.0.1.13}
    - {<<: *flow, t: +13s, dst_ip: 10.0.1.14}
    - {<<: *flow, t: +600s, dst_ip: 10.0.1.15}
  expect: [{src_ip: 10.0.2.9, dst_port: 22, hosts: 15}]
- name: one second later it does not
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +2s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +3s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +4s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +5s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +6s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +7s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +8s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +9s, dst_ip: 10.0.1.10}
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.11}
    - {<<: *flow, t: +11s, dst_ip: 10.0.1.12}
    - {<<: *flow, t: +12s, dst_ip: 10.0.1.13}
    - {<<: *flow, t: +13s, dst_ip: 10.0.1.14}
    - {<<: *flow, t: +601s, dst_ip: 10.0.1.15}
  expect: []
- name: a late flow completes it
  events:
    - *flow
    - {<<: *flow, t: +1s, dst_ip: 10.0.1.2}
    - {<<: *flow, t: +2s, dst_ip: 10.0.1.3}
    - {<<: *flow, t: +3s, dst_ip: 10.0.1.4}
    - {<<: *flow, t: +4s, dst_ip: 10.0.1.5}
    - {<<: *flow, t: +5s, dst_ip: 10.0.1.6}
    - {<<: *flow, t: +6s, dst_ip: 10.0.1.7}
    - {<<: *flow, t: +7s, dst_ip: 10.0.1.8}
    - {<<: *flow, t: +8s, dst_ip: 10.0.1.9}
    - {<<: *flow, t: +9s, dst_ip: 10.0.1.10}
    - {<<: *flow, t: +10s, dst_ip: 10.0.1.11}
    - {<<: *flow, t: +11s, dst_ip: 10.0.1.12}
    - {<<: *flow, t: +12s, dst_ip: 10.0.1.13}
    - {<<: *flow, t: +13s, dst_ip: 10.0.1.14}
    - {<<: *flow, t: +4m, src_ip: 10.0.2.10}
    - {<<: *flow, t: +2m, dst_ip: 10.0.1.15}
  expect: [{src_ip: 10.0.2.9, dst_port: 22, hosts: 15}]
---*/

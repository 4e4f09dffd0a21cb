/*---
id: network.large_outbound
title: Large transfer to one outside address
severity: medium
status: stable
description: One internal host sent more than 2 GiB to one outside address within an hour.
attack: [TA0010, T1048, T1567]
entity: {src_ip: ip, dst_ip: ip}
risk: 20
suppression: {by: [src_ip, dst_ip], for: 24h}
false_positives:
  - Backups and replication to another site, large uploads to a partner
  - A public server, whose answers to a client are outbound too
blind_spots:
  - Transfers spread over many addresses or hours
runbook: Look the address up and find the process or service on the host. Compare with what the host usually sends.
references: ["https://attack.mitre.org/techniques/T1048/"]
---*/
SELECT src_ip,
       dst_ip,
       sum(bytes_out) AS bytes_sent,
       count(*) AS flows,
       count(DISTINCT dst_port) AS ports,
       min(time) AS first_flow,
       max(time) AS last_flow,
       concat(src_ip, ' sent ', sum(bytes_out), ' bytes to ', dst_ip, ' within an hour') AS title
FROM network
WHERE direction = 'Outbound'
  AND action = 'Allowed'
  AND bytes_out >= 0
  AND src_ip IS NOT NULL
  AND dst_ip IS NOT NULL
GROUP BY src_ip, dst_ip, tumble(time, INTERVAL '1 hour')
HAVING sum(bytes_out) > 2147483648
/*--- tests
- name: three gigabytes in an hour fire
  events:
    - &flow {t: +0s, table: network, direction: Outbound, action: Allowed, src_ip: 10.0.1.5, dst_ip: 198.51.100.7, dst_port: 443, bytes_out: 1073741824}
    - {<<: *flow, t: +10m, repeat: 2, every: 10m}
  expect: [{src_ip: 10.0.1.5, dst_ip: 198.51.100.7, bytes_sent: 3221225472, flows: 3}]
- name: exactly two gigabytes are quiet
  events: [{<<: *flow, repeat: 2, every: 10m}]
  expect: []
- name: three gigabytes to three addresses are quiet
  events:
    - *flow
    - {<<: *flow, t: +10m, dst_ip: 198.51.100.8}
    - {<<: *flow, t: +20m, dst_ip: 198.51.100.9}
  expect: []
- name: three gigabytes over the full hour are two windows
  events:
    - {<<: *flow, t: +40m}
    - {<<: *flow, t: +50m}
    - {<<: *flow, t: +60m}
  expect: []
- name: a late flow completes it
  events:
    - {<<: *flow, t: +0s, repeat: 2, every: 60s}
    - {<<: *flow, t: +6m, src_ip: 10.0.1.6}
    - {<<: *flow, t: +3m}
  expect: [{src_ip: 10.0.1.5, bytes_sent: 3221225472}]
---*/

/*---
id: network.admin_port_from_internet
title: Administration port reached from the Internet
severity: high
status: stable
description: A connection from a public address to SSH, RDP, WinRM, SMB or a database port of an internal host was accepted and carried data.
attack: [TA0001, T1133, T1190]
entity: {dst_ip: ip, src_ip: ip}
risk: 20
suppression: {by: [dst_ip, dst_port], for: 24h}
false_positives:
  - A bastion host or VPN concentrator
blind_spots:
  - A service moved to another port
  - Scans that only open the connection, which stay below the packet threshold
runbook: Close the port to the Internet. Look in the host's log for the sign-in that belongs to the flow.
references: ["https://attack.mitre.org/techniques/T1133/"]
---*/
SELECT time,
       src_ip,
       src_port,
       dst_ip,
       dst_port,
       protocol,
       bytes_out,
       packets_out,
       interface,
       concat(src_ip, ' reached port ', dst_port, ' of ', dst_ip) AS title
FROM network
WHERE direction = 'Inbound'
  AND action = 'Allowed'
  AND dst_port IN (22, 23, 445, 1433, 3306, 3389, 5432, 5985, 5986, 6379, 9200, 27017)
  AND src_is_private IS FALSE
  -- A handshake and its end take up to five packets, a conversation takes more.
  AND packets_out > 5
/*--- tests
- name: SSH from a public address
  events:
    - &flow {t: +0s, table: network, direction: Inbound, action: Allowed, src_ip: 203.0.113.9, src_is_private: false, dst_ip: 10.0.1.5, dst_port: 22, packets_out: 20, bytes_out: 4249}
  expect: [{src_ip: 203.0.113.9, dst_ip: 10.0.1.5, dst_port: 22, title: 203.0.113.9 reached port 22 of 10.0.1.5}]
- name: a refused connection is quiet
  events: [{<<: *flow, action: Denied}]
  expect: []
- name: a web port is quiet
  events: [{<<: *flow, dst_port: 443}]
  expect: []
- name: a handshake alone is quiet
  events: [{<<: *flow, packets_out: 3}]
  expect: []
- name: an internal source is quiet
  events: [{<<: *flow, direction: Lateral, src_ip: 10.0.2.9, src_is_private: true}]
  expect: []
---*/

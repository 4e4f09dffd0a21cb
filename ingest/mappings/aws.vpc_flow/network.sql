/*---
id: aws.vpc_flow.network
title: "AWS VPC flow log: traffic of an interface"
source: aws.vpc_flow
to: network
class: 4001
codec:
  delimited:
    delimiter: " "
    null: "-"
    header: version account-id                 # a line that starts so names the fields of a custom format
    fields: [version, account-id, interface-id, srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, start, end, action, log-status]
detect: {matches: '^(version account-id .*log-status|[2-9] (\d{12}|unknown|-) .*(OK|NODATA|SKIPDATA))'}
columns:
  version: int
  account-id: string
  interface-id: string
  srcaddr: string
  dstaddr: string
  srcport: int
  dstport: int
  protocol: int
  packets: int
  bytes: int
  start: timestamp
  end: timestamp
  action: string
  log-status: string
  vpc-id: string                               # from here on: versions 3 to 5, when a header names them
  subnet-id: string
  instance-id: string
  tcp-flags: int
  pkt-srcaddr: string
  pkt-dstaddr: string
  region: string
  flow-direction: string
time: start
# A record covers up to ten minutes and is delivered some minutes after them.
time_settings: {delay: 2m, lateness: 20m, max_skew: 5m, idle: 2m}
when: ("log-status" IN ('NODATA', 'SKIPDATA')) IS NOT TRUE
priority: 10
vendor: AWS
product: VPC Flow Logs
references: ["https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html"]
---*/
SELECT start AS time,
       'Traffic' AS activity,
       CASE action WHEN 'ACCEPT' THEN 'Success' WHEN 'REJECT' THEN 'Failure' ELSE 'Unknown' END AS status,
       CASE action WHEN 'ACCEPT' THEN 'Allowed' WHEN 'REJECT' THEN 'Denied' END AS action,
       CASE action WHEN 'ACCEPT' THEN 'Allowed' WHEN 'REJECT' THEN 'Blocked' END AS disposition,
       action AS event_code,
       -- pkt-* are the ends before a NAT gateway or load balancer rewrote them.
       coalesce("pkt-srcaddr", srcaddr) AS src_ip,
       srcport AS src_port,
       coalesce("pkt-dstaddr", dstaddr) AS dst_ip,
       dstport AS dst_port,
       "instance-id" AS device_uid,
       CASE protocol
         WHEN 1 THEN 'icmp' WHEN 6 THEN 'tcp' WHEN 17 THEN 'udp' WHEN 47 THEN 'gre' WHEN 50 THEN 'esp'
         WHEN 58 THEN 'ipv6-icmp' WHEN 132 THEN 'sctp' ELSE CAST(protocol AS VARCHAR)
       END AS protocol,
       -- The way of these packets, not of the connection: the answer to an inbound request is outbound.
       CASE
         WHEN is_private(coalesce("pkt-srcaddr", srcaddr)) AND is_private(coalesce("pkt-dstaddr", dstaddr)) THEN 'Lateral'
         WHEN "flow-direction" = 'ingress' THEN 'Inbound'
         WHEN "flow-direction" = 'egress' THEN 'Outbound'
         WHEN is_private(coalesce("pkt-dstaddr", dstaddr)) THEN 'Inbound'
         WHEN is_private(coalesce("pkt-srcaddr", srcaddr)) THEN 'Outbound'
       END AS direction,
       bytes AS bytes_out,
       packets AS packets_out,
       start AS start_time,
       "end" AS end_time,
       (to_unixtime("end") - to_unixtime(start)) * 1000 AS duration_ms,
       "tcp-flags" AS tcp_flags,
       "interface-id" AS interface,
       'AWS' AS cloud_provider,
       nullif("account-id", 'unknown') AS cloud_account_uid,
       region AS cloud_region,
       "vpc-id" AS "unmapped.vpc_id",
       "subnet-id" AS "unmapped.subnet_id"
FROM aws_vpc_flow
/*--- tests
- name: an accepted inbound connection
  raw: '2 111122223333 eni-0a1b2c3d 203.0.113.9 10.0.1.5 51234 22 6 20 4249 1767171600 1767171660 ACCEPT OK'
  expect:
    - {table: network, time: "2025-12-31T09:00:00Z", activity: Traffic, status: Success, action: Allowed, src_ip: 203.0.113.9, src_port: 51234, dst_ip: 10.0.1.5, dst_port: 22, protocol: tcp, direction: Inbound, bytes_out: 4249, packets_out: 20, duration_ms: 60000, cloud_account_uid: "111122223333", interface: eni-0a1b2c3d}
- name: a rejected flow between two hosts inside
  raw: '2 111122223333 eni-0a1b2c3d 10.0.2.9 10.0.1.5 40000 3389 6 1 40 1767171600 1767171630 REJECT OK'
  expect:
    - {table: network, status: Failure, action: Denied, disposition: Blocked, direction: Lateral, dst_port: 3389}
- name: an outbound name query
  raw: '2 111122223333 eni-0a1b2c3d 10.0.1.5 198.51.100.53 40001 53 17 2 150 1767171600 1767171610 ACCEPT OK'
  expect:
    - {table: network, protocol: udp, direction: Outbound, bytes_out: 150}
- name: IPv6 with a protocol that has no name here
  raw: '2 111122223333 eni-0a1b2c3d 2001:db8::1 fd00::5 0 0 88 1 60 1767171600 1767171610 ACCEPT OK'
  expect:
    - {table: network, src_ip: "2001:db8::1", dst_ip: "fd00::5", protocol: "88", direction: Inbound}
---*/

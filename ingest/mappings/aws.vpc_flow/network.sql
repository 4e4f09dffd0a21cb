/*---
id: aws.vpc_flow.network
title: "AWS VPC and transit gateway flow logs: traffic, and intervals without a record of it"
source: aws.vpc_flow
to: network
class: 4001
codec:
  delimited:
    delimiter: " "
    null: "-"
    fields: [version, account-id, interface-id, srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, start, end, action, log-status]
    layouts:
      # What a transit gateway writes unless told otherwise.
      - [version, resource-type, account-id, tgw-id, tgw-attachment-id, tgw-src-vpc-account-id, tgw-dst-vpc-account-id,
         tgw-src-vpc-id, tgw-dst-vpc-id, tgw-src-subnet-id, tgw-dst-subnet-id, tgw-src-eni, tgw-dst-eni, tgw-src-az-id,
         tgw-dst-az-id, tgw-pair-attachment-id, srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, start, end,
         log-status, type, packets-lost-no-route, packets-lost-blackhole, packets-lost-mtu-exceeded,
         packets-lost-ttl-expired, tcp-flags, region, flow-direction, pkt-src-aws-service, pkt-dst-aws-service]
    # Versions 3 to 10 and transit gateways: what a header may name beside the columns below; kept in `unmapped`.
    known:
      [type, az-id, sublocation-type, sublocation-id, pkt-src-aws-service, pkt-dst-aws-service, traffic-path,
       ecs-cluster-arn, ecs-cluster-name, ecs-container-instance-arn, ecs-container-instance-id, ecs-container-id,
       ecs-second-container-id, ecs-service-name, ecs-task-definition-arn, ecs-task-arn, ecs-task-id,
       reject-reason, resource-id, encryption-status, resource-type, tgw-attachment-id,
       tgw-src-vpc-account-id, tgw-dst-vpc-account-id, tgw-src-vpc-id, tgw-dst-vpc-id, tgw-src-subnet-id,
       tgw-dst-subnet-id, tgw-src-eni, tgw-dst-eni, tgw-src-az-id, tgw-dst-az-id, tgw-pair-attachment-id,
       packets-lost-no-route, packets-lost-blackhole, packets-lost-mtu-exceeded, packets-lost-ttl-expired]
detect:
  has: [srcaddr|srcAddr|src_addr, dstaddr|dstAddr|dst_addr]   # the same records as JSON
  matches: '^\d{1,2}[ ,\t](TransitGateway[ ,\t])?(\d{12}|unknown|-)[ ,\t].*(OK|NODATA|SKIPDATA)'
columns:
  version: int
  account-id: string
  interface-id: string
  srcaddr: string
  dstaddr: string
  srcport: int
  dstport: int
  protocol: string
  packets: int
  bytes: int
  start: timestamp
  end: timestamp
  action: string
  log-status: string
  vpc-id: string
  subnet-id: string
  instance-id: string
  tcp-flags: int
  pkt-srcaddr: string
  pkt-dstaddr: string
  region: string
  flow-direction: string
  tgw-id: string
time: start
# A record covers up to ten minutes and is delivered some minutes after them.
time_settings: {delay: 2m, lateness: 20m, max_skew: 5m, idle: 2m}
priority: 10
vendor: AWS
product: VPC Flow Logs
references:
  - "https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html"
  - "https://docs.aws.amazon.com/vpc/latest/tgw/tgw-flow-logs.html"
---*/
SELECT start AS time,
       -- NODATA: nothing passed; SKIPDATA: AWS lost records.
       CASE
         WHEN "log-status" IN ('NODATA', 'SKIPDATA') THEN 'Other'
         WHEN srcaddr IS NULL AND "pkt-srcaddr" IS NULL AND dstaddr IS NULL AND "pkt-dstaddr" IS NULL THEN 'Unknown'
         ELSE 'Traffic'
       END AS activity,
       CASE action WHEN 'ACCEPT' THEN 'Success' WHEN 'REJECT' THEN 'Failure' ELSE 'Unknown' END AS status,
       CASE WHEN "log-status" IN ('NODATA', 'SKIPDATA') THEN "log-status" END AS status_detail,
       CASE action WHEN 'ACCEPT' THEN 'Allowed' WHEN 'REJECT' THEN 'Denied' END AS action,
       CASE action WHEN 'ACCEPT' THEN 'Allowed' WHEN 'REJECT' THEN 'Blocked' END AS disposition,
       CASE WHEN "log-status" IN ('NODATA', 'SKIPDATA') THEN "log-status" ELSE action END AS event_code,
       -- pkt-* are the ends before a NAT gateway or load balancer rewrote them.
       coalesce("pkt-srcaddr", srcaddr) AS src_ip,
       srcport AS src_port,
       coalesce("pkt-dstaddr", dstaddr) AS dst_ip,
       dstport AS dst_port,
       "instance-id" AS device_uid,
       CASE lower(protocol)
         WHEN '1' THEN 'icmp' WHEN '6' THEN 'tcp' WHEN '17' THEN 'udp' WHEN '47' THEN 'gre' WHEN '50' THEN 'esp'
         WHEN '58' THEN 'ipv6-icmp' WHEN '132' THEN 'sctp' ELSE lower(protocol)
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
       CASE WHEN version IS NOT NULL OR "account-id" IS NOT NULL OR "interface-id" IS NOT NULL THEN 'AWS' END AS cloud_provider,
       nullif("account-id", 'unknown') AS cloud_account_uid,
       region AS cloud_region,
       "vpc-id" AS "unmapped.vpc_id",
       "subnet-id" AS "unmapped.subnet_id",
       "tgw-id" AS "unmapped.tgw_id"
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
- name: nothing passed
  raw: '2 111122223333 eni-0a1b2c3d - - - - - - - 1767171600 1767171660 - NODATA'
  expect:
    - {table: network, time: "2025-12-31T09:00:00Z", activity: Other, status: Unknown, event_code: NODATA, src_ip: null, interface: eni-0a1b2c3d}
- name: records lost by AWS
  raw: '2 111122223333 eni-0a1b2c3d - - - - - - - 1767171660 1767171720 - SKIPDATA'
  expect:
    - {table: network, event_code: SKIPDATA, bytes_out: null, cloud_account_uid: "111122223333"}
- name: an account AWS did not know
  raw: '2 unknown eni-0a1b2c3d - - - - - - - 1767171600 1767171660 - NODATA'
  expect:
    - {table: network, event_code: NODATA, cloud_account_uid: null}
- name: a header in any order, a field nobody has heard of kept
  records:
    - 'dstaddr srcaddr action brand-new traffic-path start end log-status'
    - '10.0.1.5 203.0.113.9 REJECT x 8 1767171600 1767171660 OK'
  expect:
    - {table: network, status: Failure, src_ip: 203.0.113.9, dst_ip: 10.0.1.5, unmapped: '{"brand_new":"x","traffic_path":"8"}'}
- name: the same record as JSON
  raw: '{"version":2,"account_id":"111122223333","interface_id":"eni-0a1b2c3d","srcaddr":"203.0.113.9","dstaddr":"10.0.1.5","srcport":51234,"dstport":22,"protocol":6,"packets":20,"bytes":4249,"start":1767171600,"end":1767171660,"action":"REJECT","log_status":"OK"}'
  expect:
    - {table: network, time: "2025-12-31T09:00:00Z", status: Failure, src_ip: 203.0.113.9, dst_port: 22, protocol: tcp}
- name: the same record as CSV
  records:
    - 'version,account-id,srcaddr,dstaddr,srcport,dstport,protocol,start,end,action,log-status'
    - '2,111122223333,203.0.113.9,10.0.1.5,51234,22,6,1767171600,1767171660,ACCEPT,OK'
  expect:
    - {table: network, status: Success, src_ip: 203.0.113.9, src_port: 51234}
- name: what a record does not say is not there
  raw: '2 - - - - - - - - - - - - -'
  expect:
    - {table: network, activity: Unknown, status: Unknown, action: null, src_ip: null, dst_ip: null, user_name: null, time_flag: missing}
- name: a line of a transit gateway without a header
  raw: '6 TransitGateway 111122223333 tgw-0a1b tgw-attach-0a1b 111122223333 444455556666 vpc-0a1b vpc-0c1d subnet-0a1b subnet-0c1d eni-0a1b eni-0c1d use1-az1 use1-az2 tgw-attach-0c1d 10.0.0.7 10.1.0.9 40000 443 6 10 840 1767171600 1767171660 OK IPv4 0 0 0 0 2 eu-west-1 egress - -'
  expect:
    - {table: network, activity: Traffic, status: Unknown, src_ip: 10.0.0.7, src_port: 40000, dst_ip: 10.1.0.9, dst_port: 443, bytes_out: 840, direction: Lateral, cloud_account_uid: "111122223333", cloud_region: eu-west-1}
---*/

/*---
id: aws.vpc_flow.network.nodata
title: "AWS VPC flow log: intervals without a record of traffic"
source: aws.vpc_flow
to: network
class: 4001
codec:
  delimited:
    delimiter: " "
    null: "-"
    header: version account-id
    fields: [version, account-id, interface-id, srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, start, end, action, log-status]
detect: {matches: '^(version account-id .*log-status|[2-9] (\d{12}|unknown|-) .*(OK|NODATA|SKIPDATA))'}
columns:
  account-id: string
  interface-id: string
  start: timestamp
  end: timestamp
  log-status: string
time: start
time_settings: {delay: 2m, lateness: 20m, max_skew: 5m, idle: 2m}
priority: 90                                   # NODATA: nothing passed; SKIPDATA: AWS lost records
vendor: AWS
product: VPC Flow Logs
references: ["https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html"]
---*/
SELECT start AS time,
       'Other' AS activity,
       'Unknown' AS status,
       "log-status" AS status_detail,
       "log-status" AS event_code,
       start AS start_time,
       "end" AS end_time,
       "interface-id" AS interface,
       'AWS' AS cloud_provider,
       nullif("account-id", 'unknown') AS cloud_account_uid
FROM aws_vpc_flow
/*--- tests
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
---*/

/*---
id: recipes.bytes_out
title: More than a gibibyte to one place in an hour
severity: medium
status: stable
entity: {src_ip: ip}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT src_ip, dst_ip, sum(bytes_out) AS bytes
FROM network
WHERE src_ip IS NOT NULL AND dst_ip IS NOT NULL AND bytes_out >= 0
GROUP BY src_ip, dst_ip, sliding(time, INTERVAL '1 hour')
HAVING sum(bytes_out) > 1073741824
/*--- tests
- name: two times 600 MB
  events: [&a {t: +0s, table: network, src_ip: 10.0.0.1, dst_ip: 203.0.113.9, bytes_out: 600000000, repeat: 2, every: 10m}]
  expect: [{bytes: 1200000000}]
- name: one time
  events: [{<<: *a, repeat: 1}]
  expect: []
---*/

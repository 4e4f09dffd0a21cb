/*---
id: recipes.distinct_pairs
title: Many different hosts and ports
severity: medium
status: stable
entity: {src_ip: ip}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT src_ip, count(DISTINCT concat(dst_ip, ' ', dst_port)) AS targets
FROM network
WHERE src_ip IS NOT NULL
GROUP BY src_ip, sliding(time, INTERVAL '5 minutes')
HAVING count(DISTINCT concat(dst_ip, ' ', dst_port)) >= 3
/*--- tests
- name: three pairs
  events:
    - &a {t: +0s, table: network, src_ip: 10.0.0.1, dst_ip: 10.0.0.2, dst_port: 22}
    - {<<: *a, t: +1s, dst_port: 23}
    - {<<: *a, t: +2s, dst_ip: 10.0.0.3}
  expect: [{src_ip: 10.0.0.1, targets: 3}]
- name: the same pair three times
  events: [{<<: *a, repeat: 3, every: 1s}]
  expect: []
---*/

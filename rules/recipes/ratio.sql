/*---
id: recipes.ratio
title: Nine of ten sign-ins fail
severity: medium
status: stable
entity: {src_ip: ip}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
emit: final
---*/
SELECT src_ip, count(*) AS attempts, count(*) FILTER (WHERE status = 'Failure') AS failures
FROM authentication
WHERE src_ip IS NOT NULL AND status IN ('Failure', 'Success')
GROUP BY src_ip, tumble(time, INTERVAL '1 hour')
HAVING count(*) >= 10 AND count(*) FILTER (WHERE status = 'Failure') * 10 >= count(*) * 9
/*--- tests
- name: ten failures
  events: [&f {t: +0s, table: authentication, src_ip: 203.0.113.9, status: Failure, repeat: 10, every: 1m}]
  expect: [{src_ip: 203.0.113.9, attempts: 10, failures: 10}]
- name: eight failures and two successes
  events:
    - {<<: *f, repeat: 8}
    - {<<: *f, t: +10m, status: Success, repeat: 2}
  expect: []
---*/

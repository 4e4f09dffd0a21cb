/*---
id: recipes.with_query
title: A WITH query that is named once
severity: medium
status: stable
entity: {src_ip: ip}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
WITH failed AS (
  SELECT lower(user_name) AS account, src_ip, time
  FROM authentication
  WHERE status = 'Failure' AND (user_type = 'Service') IS NOT TRUE
)
SELECT src_ip, count(DISTINCT account) AS accounts
FROM failed
WHERE src_ip IS NOT NULL AND account IS NOT NULL
GROUP BY src_ip, sliding(time, INTERVAL '10 minutes')
HAVING count(DISTINCT account) >= 2
/*--- tests
- name: two accounts
  events:
    - &a {t: +0s, table: authentication, src_ip: 203.0.113.9, user_name: Ann, status: Failure}
    - {<<: *a, t: +1s, user_name: bob}
  expect: [{accounts: 2}]
- name: one account in two spellings
  events: [*a, {<<: *a, t: +1s, user_name: ann}]
  expect: []
---*/

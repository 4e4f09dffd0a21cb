/*---
id: recipes.lookup_join
title: Many refused sign-ins of a critical account
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
-- `identity` always exists; a file lookups/identity.csv gives it rows.
SELECT a.user_entity, i.class, count(*) AS failures
FROM authentication AS a
JOIN lookup.identity AS i ON i.user = a.user_entity
WHERE a.status = 'Failure' AND a.user_entity IS NOT NULL AND i.criticality = 'high'
GROUP BY a.user_entity, i.class, sliding(a.time, INTERVAL '10 minutes')
HAVING count(*) >= 3
/*--- tests
- name: three of a critical account
  lookups: &who {identity: [{user: ann, class: admin, criticality: high}, {user: bob, class: staff, criticality: low}]}
  events: [&a {t: +0s, table: authentication, user_entity: ann, status: Failure, repeat: 3, every: 1m}]
  expect: [{user_entity: ann, class: admin, failures: 3}]
- name: of another
  lookups: *who
  events: [{<<: *a, user_entity: bob}]
  expect: []
- name: of one that is not in it
  lookups: *who
  events: [{<<: *a, user_entity: eve}]
  expect: []
---*/

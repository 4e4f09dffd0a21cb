/*---
id: recipes.two_sources
title: A refused sign-in and a denied call, whatever their order
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity,
       count(*) FILTER (WHERE kind = 'sign-in') AS refused,
       count(*) FILTER (WHERE kind = 'call') AS denied
FROM (
  SELECT user_entity, time, 'sign-in' AS kind FROM authentication WHERE status = 'Failure'
  UNION ALL
  SELECT user_entity, time, 'call' AS kind FROM api_activity WHERE error_code = 'AccessDenied'
) AS both_kinds
WHERE user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '15 minutes')
HAVING count(*) FILTER (WHERE kind = 'sign-in') >= 1 AND count(*) FILTER (WHERE kind = 'call') >= 1
/*--- tests
- name: one of each
  events:
    - &a {t: +0s, table: authentication, user_entity: ann, status: Failure}
    - {t: +5m, table: api_activity, user_entity: ann, error_code: AccessDenied}
  expect: [{user_entity: ann, refused: 1, denied: 1}]
- name: two of one kind
  events: [{<<: *a, repeat: 2, every: 1m}]
  expect: []
---*/

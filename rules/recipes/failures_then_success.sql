/*---
id: recipes.failures_then_success
title: Three failures and then a success
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, count(*) FILTER (WHERE status = 'Failure') AS failures
FROM authentication
WHERE status IN ('Failure', 'Success') AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) FILTER (WHERE status = 'Failure') >= 3
   AND max(time) FILTER (WHERE status = 'Success') > max(time) FILTER (WHERE status = 'Failure')
/*--- tests
- name: the success comes last
  events:
    - &f {t: +0s, table: authentication, user_entity: ann, status: Failure, repeat: 3, every: 10s}
    - &s {t: +60s, table: authentication, user_entity: ann, status: Success}
  expect: [{user_entity: ann, failures: 3}]
- name: the success comes first
  events: [{<<: *s, t: +0s}, {<<: *f, t: +10s}]
  expect: []
---*/

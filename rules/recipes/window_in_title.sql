/*---
id: recipes.window_in_title
title: Failures per hour, with the hour in the title
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, window_start, window_end, count(*) AS failures,
       concat(count(*), ' failures of ', user_entity, ' from ', to_char(window_start, '%H:%M')) AS title
FROM authentication
WHERE status = 'Failure' AND user_entity IS NOT NULL
GROUP BY user_entity, tumble(time, INTERVAL '1 hour')
HAVING count(*) >= 3
/*--- tests
- name: three in an hour
  events: [&a {t: +1h, table: authentication, user_entity: ann, status: Failure, repeat: 3, every: 1m}]
  expect: [{title: 3 failures of ann from 01:00, window_start: +1h, window_end: +2h}]
- name: two
  events: [{<<: *a, repeat: 2}]
  expect: []
---*/

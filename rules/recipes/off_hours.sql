/*---
id: recipes.off_hours
title: A sign-in at night, by the clock in Berlin
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 'Success' AND user_entity IS NOT NULL
  AND (date_part('hour', time AT TIME ZONE 'Europe/Berlin') < 6
       OR date_part('hour', time AT TIME ZONE 'Europe/Berlin') >= 22)
/*--- tests
- name: half past ten in the evening in summer
  events: [{t: '2026-07-01T20:30:00Z', table: authentication, user_entity: ann, status: Success}]
  expect: [{user_entity: ann}]
- name: half past nine in the evening in winter
  events: [{t: '2026-01-01T20:30:00Z', table: authentication, user_entity: ann, status: Success}]
  expect: []
---*/

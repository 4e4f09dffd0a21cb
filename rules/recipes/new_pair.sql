/*---
id: recipes.new_pair
title: A user from a country for the first time in two weeks
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, src_country, time
FROM authentication
WHERE status = 'Success' AND user_entity IS NOT NULL AND src_country IS NOT NULL
  AND first_seen(INTERVAL '14 days', user_entity, src_country)
/*--- tests
- name: another country than before
  history_start: '2025-01-01T00:00:00Z'
  events:
    - &a {t: +0s, table: authentication, user_entity: ann, status: Success, src_country: Germany}
    - {<<: *a, t: +1d, src_country: Japan}
  expect: [{src_country: Germany}, {src_country: Japan}]
- name: the history is too short to call anything new
  history_start: '2025-12-31T00:00:00Z'
  events: [*a]
  expect: []
---*/

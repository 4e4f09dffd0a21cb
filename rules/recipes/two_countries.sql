/*---
id: recipes.two_countries
title: Sign-ins from two countries within an hour
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity, min(src_country) AS one, max(src_country) AS other
FROM authentication
WHERE status = 'Success' AND user_entity IS NOT NULL AND src_country IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '1 hour')
HAVING count(DISTINCT src_country) >= 2
/*--- tests
- name: two countries
  events:
    - &a {t: +0s, table: authentication, user_entity: ann, status: Success, src_country: Germany}
    - {<<: *a, t: +30m, src_country: Japan}
  expect: [{user_entity: ann, one: Germany, other: Japan}]
- name: an hour and a second apart
  events: [*a, {<<: *a, t: +3601s, src_country: Japan}]
  expect: []
---*/

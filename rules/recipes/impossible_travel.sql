/*---
id: recipes.impossible_travel
title: Two places further apart than a flight
severity: medium
status: stable
entity: {user_entity: user}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT user_entity,
       array_agg(DISTINCT src_city) AS cities,
       -- Exact for two places; of more, the corners of the box around them.
       geo_distance_km(min(src_latitude), min(src_longitude), max(src_latitude), max(src_longitude)) AS km_at_most
FROM authentication
WHERE status = 'Success' AND user_entity IS NOT NULL AND src_latitude IS NOT NULL AND src_longitude IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '1 hour')
HAVING geo_distance_km(min(src_latitude), min(src_longitude), max(src_latitude), max(src_longitude)) > 1000
/*--- tests
- name: Berlin and Tokyo
  events:
    - &a {t: +0s, table: authentication, user_entity: ann, status: Success, src_city: Berlin, src_latitude: 52.5, src_longitude: 13.4}
    - {<<: *a, t: +30m, src_city: Tokyo, src_latitude: 35.7, src_longitude: 139.7}
  expect: [{user_entity: ann, cities: [Berlin, Tokyo]}]
- name: Berlin and Potsdam
  events: [*a, {<<: *a, t: +30m, src_city: Potsdam, src_latitude: 52.4, src_longitude: 13.1}]
  expect: []
---*/

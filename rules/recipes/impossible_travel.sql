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
       geo_distance_km(min(latitude), min(longitude), max(latitude), max(longitude)) AS km_at_most
FROM (
  SELECT user_entity, time,
         try_cast(json_get_str(unmapped, 'lat') AS DOUBLE) AS latitude,
         try_cast(json_get_str(unmapped, 'lon') AS DOUBLE) AS longitude
  FROM authentication
  WHERE status = 'Success'
) AS places
WHERE user_entity IS NOT NULL AND latitude IS NOT NULL AND longitude IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '1 hour')
HAVING geo_distance_km(min(latitude), min(longitude), max(latitude), max(longitude)) > 1000
/*--- tests
- name: Berlin and Tokyo
  events:
    - &a {t: +0s, table: authentication, user_entity: ann, status: Success, unmapped: '{"lat":52.5,"lon":13.4}'}
    - {<<: *a, t: +30m, unmapped: '{"lat":35.7,"lon":139.7}'}
  expect: [{user_entity: ann}]
- name: Berlin and Potsdam
  events: [*a, {<<: *a, t: +30m, unmapped: '{"lat":52.4,"lon":13.1}'}]
  expect: []
---*/

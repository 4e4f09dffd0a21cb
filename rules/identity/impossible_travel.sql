/*---
id: identity.impossible_travel
title: Sign-ins of one user from places too far apart
severity: medium
status: stable
description: One user signed in successfully from places more than 1,000 km apart within an hour, faster than an airliner.
attack: [TA0001, T1078.004]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity], for: 24h}
false_positives:
  - A VPN or proxy whose exit is far away, switched on during work
  - A mobile network that leads all its users out at one place
blind_spots:
  - Sources that do not say latitude and longitude
  - An attacker near the user, or behind a proxy near the user
runbook: Look at the networks behind the addresses. If one is neither the user's nor the company's, revoke the sessions and ask the user on a second channel.
references: ["https://attack.mitre.org/techniques/T1078/004/"]
---*/
SELECT user_entity,
       -- Exact for two places. Of three and more it is the way between the corners of the box around
       -- them, which is at most about one and a half times the way between the two furthest apart.
       round(geo_distance_km(min(src_latitude), min(src_longitude), max(src_latitude), max(src_longitude))) AS km_at_most,
       array_agg(DISTINCT src_country) AS countries,
       array_agg(DISTINCT src_city) AS cities,
       array_agg(DISTINCT src_ip) AS addresses,
       count(*) AS sign_ins,
       min(time) AS first_sign_in,
       max(time) AS last_sign_in,
       concat(user_entity, ' signed in from places up to ',
              CAST(round(geo_distance_km(min(src_latitude), min(src_longitude), max(src_latitude), max(src_longitude))) AS BIGINT),
              ' km apart within an hour') AS title
FROM authentication
WHERE activity = 'Logon'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND src_latitude IS NOT NULL
  AND src_longitude IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '1 hour')
HAVING geo_distance_km(min(src_latitude), min(src_longitude), max(src_latitude), max(src_longitude)) > 1000
/*--- tests
- name: Berlin and Tokyo within an hour fire
  events:
    - &berlin {t: +0s, table: authentication, activity: Logon, status: Success, user_entity: ann, src_ip: 203.0.113.9, src_country: Germany, src_city: Berlin, src_latitude: 52.52, src_longitude: 13.405}
    - &tokyo {<<: *berlin, t: +50m, src_ip: 198.51.100.7, src_country: Japan, src_city: Tokyo, src_latitude: 35.68, src_longitude: 139.69}
  expect:
    - {user_entity: ann, km_at_most: 8917, countries: [Germany, Japan], cities: [Berlin, Tokyo], addresses: [198.51.100.7, 203.0.113.9], sign_ins: 2, title: ann signed in from places up to 8917 km apart within an hour}
- name: across the line where the date changes it is not far
  events:
    - {<<: *berlin, src_latitude: -17.0, src_longitude: 179.5}
    - {<<: *berlin, t: +10m, src_latitude: -17.5, src_longitude: -179.5}
  expect: []
- name: Berlin and Munich are near enough
  events:
    - *berlin
    - {<<: *berlin, t: +10m, src_city: Munich, src_latitude: 48.14, src_longitude: 11.58}
  expect: []
- name: exactly an hour apart counts
  events: [*berlin, {<<: *tokyo, t: +1h}]
  expect: [{sign_ins: 2}]
- name: one second more does not
  events: [*berlin, {<<: *tokyo, t: +3601s}]
  expect: []
- name: two users are quiet
  events: [*berlin, {<<: *tokyo, user_entity: bob}]
  expect: []
- name: a failed sign-in from afar is quiet
  events: [*berlin, {<<: *tokyo, status: Failure}]
  expect: []
- name: a place that is not known is no place
  events: [*berlin, {<<: *tokyo, src_latitude: null, src_longitude: null}]
  expect: []
- name: a late sign-in completes it
  events:
    - {<<: *berlin, t: +5m}
    - {<<: *berlin, t: +12m, user_entity: bob}
    - {<<: *tokyo, t: +6m}
  expect: [{user_entity: ann}]
- name: two records of Okta as it sends them
  events:
    - {t: +0s, source: okta.system, raw: '{"uuid":"a1","published":"2026-01-01T00:00:00.000Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9","geographicalContext":{"city":"Lyon","country":"France","geolocation":{"lat":45.76,"lon":4.83}}},"target":[]}'}
    - {t: +5m, source: okta.system, raw: '{"uuid":"a2","published":"2026-01-01T00:05:00.000Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"198.51.100.7","geographicalContext":{"city":"Quito","country":"Ecuador","geolocation":{"lat":-0.18,"lon":-78.47}}},"target":[]}'}
  expect: [{user_entity: ann@example.com, cities: [Lyon, Quito]}]
- name: the place that Okta does not know is none
  events:
    - {t: +0s, source: okta.system, raw: '{"uuid":"a1","published":"2026-01-01T00:00:00.000Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"203.0.113.9","geographicalContext":{"city":"Lyon","country":"France","geolocation":{"lat":45.76,"lon":4.83}}},"target":[]}'}
    - {t: +5m, source: okta.system, raw: '{"uuid":"a2","published":"2026-01-01T00:05:00.000Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00uann","type":"User","alternateId":"ann@example.com"},"client":{"ipAddress":"198.51.100.7","geographicalContext":{"country":"France","geolocation":{"lat":0.0,"lon":0.0}}},"target":[]}'}
  expect: []
---*/

/*---
id: identity.two_countries
title: Sign-ins of one user from two countries
severity: medium
status: stable
description: One user signed in successfully from two or more countries within two hours.
attack: [TA0001, T1078.004]
entity: {user_entity: user}
risk: 25
suppression: {by: [user_entity], for: 24h}
false_positives:
  - A VPN or proxy whose exit is abroad, switched on during work
  - People who live at a border
blind_spots:
  - Sources that do not say the country
runbook: Look at the networks behind both addresses. If one is not the user's or the company's, revoke the sessions and ask the user.
references: ["https://attack.mitre.org/techniques/T1078/004/"]
---*/
SELECT user_entity,
       count(DISTINCT src_country) AS countries,
       count(DISTINCT src_ip) AS sources,
       count(*) AS sign_ins,
       min(src_country) AS one_country,
       max(src_country) AS other_country,
       min(time) AS first_sign_in,
       max(time) AS last_sign_in,
       concat(user_entity, ' signed in from ', min(src_country), ' and ', max(src_country), ' within 2 hours') AS title
FROM authentication
WHERE activity = 'Logon'
  AND status = 'Success'
  AND user_entity IS NOT NULL
  AND src_country IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '2 hours')
HAVING count(DISTINCT src_country) >= 2
/*--- tests
- name: two countries in an hour fire
  events:
    - &login {t: +0s, table: authentication, activity: Logon, status: Success, user_entity: ann, src_country: France, src_ip: 203.0.113.9}
    - {<<: *login, t: +1h, src_country: Moldova, src_ip: 198.51.100.7}
  expect: [{user_entity: ann, countries: 2, sources: 2, title: ann signed in from France and Moldova within 2 hours}]
- name: one country from two addresses is quiet
  events:
    - *login
    - {<<: *login, t: +1h, src_ip: 198.51.100.7}
  expect: []
- name: two users in two countries are quiet
  events:
    - *login
    - {<<: *login, t: +1h, user_entity: bob, src_country: Moldova}
  expect: []
- name: a failed sign-in from the other country is quiet
  events:
    - *login
    - {<<: *login, t: +1h, src_country: Moldova, status: Failure}
  expect: []
- name: exactly two hours apart counts
  events:
    - *login
    - {<<: *login, t: +2h, src_country: Moldova}
  expect: [{countries: 2}]
- name: one second more does not
  events:
    - *login
    - {<<: *login, t: +7201s, src_country: Moldova}
  expect: []
- name: a late sign-in completes it
  events:
    - {<<: *login, t: +5m}
    - {<<: *login, t: +10m, user_entity: bob}
    - {<<: *login, t: +6m, src_country: Moldova}
  expect: [{user_entity: ann, countries: 2}]
---*/

/*---
id: identity.session_from_many_networks
title: One session used from several networks
severity: high
status: stable
description: Requests of one session came from two or more autonomous systems and addresses within half an hour. A cookie that was stolen is used beside its owner.
attack: [TA0006, T1539]
entity: {user_entity: user, session_uid: session}
risk: 35
suppression: {by: [session_uid], for: 24h}
false_positives:
  - A laptop that changes from the office to a mobile network
  - A VPN that is switched on during the session
blind_spots:
  - An attacker behind the same provider
  - Sources that do not say the autonomous system
runbook: Compare the user agents and countries. If one is not the user's, revoke the session, not only the password, and look at what was done from the other network.
references: ["https://attack.mitre.org/techniques/T1539/"]
---*/
SELECT user_entity,
       session_uid,
       array_agg(DISTINCT src_as_org) AS networks,
       array_agg(DISTINCT src_ip) AS addresses,
       array_agg(DISTINCT src_country) AS countries,
       count(DISTINCT user_agent) AS user_agents,
       count(*) AS requests,
       concat('One session of ', user_entity, ' came from ', count(DISTINCT src_asn), ' networks within 30 minutes') AS title
FROM events
WHERE session_uid IS NOT NULL
  AND user_entity IS NOT NULL
  AND src_asn IS NOT NULL
  AND src_ip IS NOT NULL
  AND status = 'Success'
GROUP BY user_entity, session_uid, sliding(time, INTERVAL '30 minutes')
HAVING count(DISTINCT src_asn) >= 2
  AND count(DISTINCT src_ip) >= 2
  -- Another browser too: who only changes the network keeps it.
  AND count(DISTINCT user_agent) >= 2
/*--- tests
- name: two networks and two browsers in ten minutes
  events:
    - &own {t: +0s, table: authentication, session_uid: s1, user_entity: ann, status: Success, src_ip: 203.0.113.9, src_asn: 64496, src_as_org: Home, src_country: Germany, user_agent: Firefox}
    - {<<: *own, t: +10m, table: api_activity, src_ip: 198.51.100.7, src_asn: 64500, src_as_org: Hosting, src_country: Moldova, user_agent: curl/8.5}
  expect: [{user_entity: ann, session_uid: s1, networks: [Home, Hosting], addresses: [198.51.100.7, 203.0.113.9], countries: [Germany, Moldova], requests: 2, title: One session of ann came from 2 networks within 30 minutes}]
- name: another network with the same browser is the user on the way
  events: [*own, {<<: *own, t: +10m, src_ip: 198.51.100.7, src_asn: 64500}]
  expect: []
- name: two sessions are quiet
  events: [*own, {<<: *own, t: +10m, session_uid: s2, src_ip: 198.51.100.7, src_asn: 64500, user_agent: curl/8.5}]
  expect: []
- name: exactly half an hour apart counts
  events: [*own, {<<: *own, t: +30m, src_ip: 198.51.100.7, src_asn: 64500, user_agent: curl/8.5}]
  expect: [{requests: 2}]
- name: one second more does not
  events: [*own, {<<: *own, t: +1801s, src_ip: 198.51.100.7, src_asn: 64500, user_agent: curl/8.5}]
  expect: []
- name: a late request completes it
  events:
    - {<<: *own, t: +5m}
    - {<<: *own, t: +11m, session_uid: s9}
    - {<<: *own, t: +4m, src_ip: 198.51.100.7, src_asn: 64500, user_agent: curl/8.5}
  expect: [{user_entity: ann}]
---*/

/*---
id: application.k8s_forbidden_burst
title: Identity refused at many kinds of cluster objects
severity: medium
status: stable
description: One identity was refused at five or more kinds of objects of a cluster within five minutes. Somebody tries out a stolen token.
attack: [TA0007, T1613, T1069.003]
entity: {user_entity: user}
risk: 25
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A new controller whose role is not complete yet
blind_spots:
  - Questions to SelfSubjectAccessReview, which are answered and not refused
runbook: Find the pod that holds the token. If its program is not known to ask for such objects, replace the pod and rotate the token.
references: ["https://attack.mitre.org/techniques/T1613/"]
---*/
SELECT user_entity,
       count(DISTINCT resource_type) AS kinds,
       count(*) AS refused,
       count(DISTINCT src_ip) AS sources,
       min(time) AS first_refusal,
       max(time) AS last_refusal,
       concat(user_entity, ' was refused at ', count(DISTINCT resource_type), ' kinds of objects within 5 minutes') AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND response_code = 403
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '5 minutes')
HAVING count(DISTINCT resource_type) >= 5
/*--- tests
- name: five kinds fire
  events:
    - &forbidden {t: +0s, table: api_activity, source: kubernetes.audit, response_code: 403, user_entity: "system:serviceaccount:shop:web", resource_type: pods, src_ip: 10.0.3.7}
    - {<<: *forbidden, t: +1s, resource_type: secrets}
    - {<<: *forbidden, t: +2s, resource_type: configmaps}
    - {<<: *forbidden, t: +3s, resource_type: nodes}
    - {<<: *forbidden, t: +4s, resource_type: deployments}
  expect: [{user_entity: "system:serviceaccount:shop:web", kinds: 5, refused: 5, sources: 1}]
- name: one kind many times is quiet
  events: [{<<: *forbidden, repeat: 30, every: 5s}]
  expect: []
- name: the fifth kind exactly five minutes after the first counts
  events:
    - *forbidden
    - {<<: *forbidden, t: +1s, resource_type: secrets}
    - {<<: *forbidden, t: +2s, resource_type: configmaps}
    - {<<: *forbidden, t: +3s, resource_type: nodes}
    - {<<: *forbidden, t: +5m, resource_type: deployments}
  expect: [{kinds: 5}]
- name: one second later it does not
  events:
    - *forbidden
    - {<<: *forbidden, t: +1s, resource_type: secrets}
    - {<<: *forbidden, t: +2s, resource_type: configmaps}
    - {<<: *forbidden, t: +3s, resource_type: nodes}
    - {<<: *forbidden, t: +301s, resource_type: deployments}
  expect: []
- name: a late fifth kind completes it
  events:
    - *forbidden
    - {<<: *forbidden, t: +1s, resource_type: secrets}
    - {<<: *forbidden, t: +2s, resource_type: configmaps}
    - {<<: *forbidden, t: +3s, resource_type: nodes}
    - {<<: *forbidden, t: +3m, user_entity: ann}
    - {<<: *forbidden, t: +1m, resource_type: deployments}
  expect: [{kinds: 5}]
---*/

/*---
id: {id}
title: Describe the finding in five words
severity: medium                 # informational | low | medium | high | critical
status: experimental             # runs in shadow until you set `test` or `stable`
description: Say what happened and why it matters.
attack: []                       # e.g. [TA0006, T1621]
entity: {user_entity: user}      # which columns of the SELECT say who it is about
false_positives: [Say what else looks like this]
runbook: Say what to check first, and what to do if it is real.
---*/
SELECT user_entity,
       count(*)  AS events,
       min(time) AS first_seen_at,
       max(time) AS last_seen_at
FROM {table}
WHERE status = 'Failure'         -- what makes a row interesting
  AND user_entity IS NOT NULL
-- One group per user; fires on the row that makes the fifth within ten minutes.
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) >= 5
/*--- tests
- name: five failures in ten minutes fire
  events:
    - &failure {t: +0s, table: {table}, user_entity: ann, status: Failure}
    - {<<: *failure, t: +30s, repeat: 4, every: 30s}
  expect: [{user_entity: ann, events: 5}]
- name: five failures spread over an hour are quiet
  events: [{<<: *failure, t: +0s, repeat: 5, every: 15m}]
  expect: []
---*/

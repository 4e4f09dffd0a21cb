/*---
id: endpoint.three_tactics_in_a_day
title: Findings of three tactics about one device in a day
severity: high
status: stable
description: Rules of at least three different ATT&CK tactics found something about one device within twenty-four hours. Each may have a harmless reason, an intruder who has settled on the device is what they have in common.
attack: [TA0001, TA0006, TA0008, T1078]
entity: {device_entity: device}
risk: 0
suppression: {by: [device_entity], for: 1d}
false_positives:
  - A scanner or a host that is set up anew
blind_spots:
  - Findings that name the device by its address alone
  - A finding counts once nothing can change it any more, that of a window when the window is over
runbook: Read the findings in the order of their times. If they follow each other, isolate the device and look at who signed in to it. Their risk counts already, so that this finding adds none.
references: ["https://attack.mitre.org/tactics/enterprise/"]
---*/
SELECT device_entity,
       count(DISTINCT tactic_id) AS tactics,
       count(DISTINCT rule_id) AS rules,
       array_agg(DISTINCT rule_id) AS found_by,
       min(time) AS first_event,
       max(time) AS last_event,
       concat(device_entity, ': findings of ', count(DISTINCT tactic_id), ' tactics in a day') AS title
FROM findings
WHERE device_entity IS NOT NULL
  AND tactic_id IS NOT NULL
  AND severity IN ('medium', 'high', 'critical')
  AND NOT shadow
GROUP BY device_entity, sliding(time, INTERVAL '1 day')
HAVING count(DISTINCT tactic_id) >= 3
/*--- tests
- name: three tactics within a day fire
  events:
    - &one {t: +0s, table: findings, rule_id: endpoint.ssh_success_after_failures, device_entity: app-3, tactic_id: TA0006, severity: high, shadow: false}
    - {<<: *one, t: +1h, rule_id: endpoint.ssh_first_seen_source, tactic_id: TA0008, severity: medium}
    - {<<: *one, t: +3h, rule_id: network.large_outbound, tactic_id: TA0010}
  expect: [{device_entity: app-3, tactics: 3, rules: 3}]
- name: two tactics are quiet
  events:
    - {<<: *one, t: +0s, repeat: 5, every: 1h}
    - {<<: *one, t: +6h, rule_id: endpoint.ssh_first_seen_source, tactic_id: TA0008}
  expect: []
- name: three tactics over more than a day are quiet
  events:
    - {<<: *one, t: +0s}
    - {<<: *one, t: +12h, rule_id: endpoint.ssh_first_seen_source, tactic_id: TA0008}
    - {<<: *one, t: +1d1s, rule_id: network.large_outbound, tactic_id: TA0010}
  expect: []
---*/

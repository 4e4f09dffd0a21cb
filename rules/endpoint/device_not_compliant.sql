/*---
id: endpoint.device_not_compliant
title: A device without what it has to have
severity: high
status: stable
description: A device manager says that a device does not comply, that its disk is plain, or that its protection is off.
attack: [TA0005, T1685]
entity: {device_entity: device}
risk: 75
suppression: {by: [device_entity], for: 24h}
false_positives:
  - A device that is being set up
  - A query that cannot read what it asks for
runbook: Ask the owner and the device manager. Quarantine it until it complies.
references: ["https://attack.mitre.org/techniques/T1562/001/"]
---*/
SELECT time,
       device_entity,
       device_hostname,
       user_email,
       compliance_state,
       disk_encrypted,
       edr_running,
       concat(device_entity, ' does not comply') AS title
FROM device_state
WHERE device_is_compliant = false
   OR disk_encrypted = false
   OR edr_running = false
/*--- tests
- name: protection that is off
  events:
    - &device {t: +0s, table: device_state, source: osquery.posture, device_entity: lap-7, edr_running: false}
  expect: [{device_entity: lap-7}]
- name: a plain disk
  events: [{<<: *device, edr_running: true, disk_encrypted: false}]
  expect: [{device_entity: lap-7, disk_encrypted: false}]
- name: the word of another transmitter
  events: [{t: +0s, table: device_state, source: ssf.set, device_entity: lap-7, device_is_compliant: false}]
  expect: [{device_entity: lap-7}]
- name: one that is well is quiet
  events: [{<<: *device, edr_running: true, disk_encrypted: true, device_is_compliant: true}]
  expect: []
- name: what is not known is no fault
  events: [{t: +0s, table: device_state, source: osquery.posture, device_entity: lap-7}]
  expect: []
- name: the line of osquery itself
  events: [{t: +0s, source: osquery.posture, raw: '{"name":"posture","hostIdentifier":"lap-7","unixTime":1767225600,"columns":{"disk_encrypted":"0"},"action":"added"}'}]
  expect: [{device_entity: lap-7}]
---*/

/*---
id: windows.replication_rights
title: Replication rights of the domain used
severity: critical
status: experimental
description: Replication rights of the domain used.
attack: [T1003.006]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "SubjectUserName",
       "Properties"
FROM raw.windows_event
WHERE "EventID" = 4662
  AND icontains("Properties", '1131f6aa-9c07-11d1-f79f-00c04fc2dcd2', '1131f6ad-9c07-11d1-f79f-00c04fc2dcd2')
  AND NOT "SubjectUserName" LIKE '%$'

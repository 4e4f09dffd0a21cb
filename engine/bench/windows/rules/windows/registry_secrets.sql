/*---
id: windows.registry_secrets
title: Registry keys of boot secrets read
severity: high
status: experimental
description: Registry keys of boot secrets read.
attack: [T1003.002]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "SubjectUserName",
       "ObjectName",
       "ProcessName"
FROM raw.windows_event
WHERE "EventID" IN (4656, 4663)
  AND icontains("ObjectName", '\Control\Lsa\JD', '\Control\Lsa\Skew1', '\Control\Lsa\GBG', '\Control\Lsa\Data')

/*---
id: windows.lsass_access_unbacked
title: LSASS opened from memory without a module
severity: high
status: experimental
description: LSASS opened from memory without a module.
attack: [T1003.001]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "SourceImage",
       "CallTrace"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 10
  AND iends("TargetImage", '\lsass.exe')
  AND icontains("CallTrace", 'UNKNOWN(')

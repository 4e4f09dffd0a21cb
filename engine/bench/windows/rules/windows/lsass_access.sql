/*---
id: windows.lsass_access
title: Process memory of LSASS opened
severity: high
status: experimental
description: Process memory of LSASS opened.
attack: [T1003.001]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "SourceImage",
       "TargetImage",
       "GrantedAccess"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 10
  AND iends("TargetImage", '\lsass.exe')
  AND "GrantedAccess" IN ('0x1010', '0x1410', '0x1438', '0x143a', '0x1fffff', '0x1f3fff')
  AND NOT iends("SourceImage", '\csrss.exe', '\wininit.exe', '\MsMpEng.exe')

/*---
id: windows.remote_thread
title: Thread created in another process
severity: high
status: experimental
description: Thread created in another process.
attack: [T1055]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "SourceImage",
       "TargetImage"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 8
  AND NOT iends("SourceImage", '\csrss.exe', '\wininit.exe', '\VBoxTray.exe')

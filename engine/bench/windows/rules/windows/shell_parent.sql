/*---
id: windows.shell_parent
title: Shell started by a program that starts none
severity: high
status: experimental
description: Shell started by a program that starts none.
attack: [T1047]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Image",
       "CommandLine",
       "ParentImage"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 1
  AND iends("Image", '\cmd.exe', '\powershell.exe', '\rundll32.exe')
  AND iends("ParentImage", '\wmiprvse.exe', '\winword.exe', '\excel.exe', '\mshta.exe', '\w3wp.exe')

/*---
id: windows.executable_dropped
title: Executable written to a folder of users
severity: medium
status: experimental
description: Executable written to a folder of users.
attack: [T1105]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Image",
       "TargetFilename"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 11
  AND iends("TargetFilename", '.exe', '.dll', '.ps1', '.bat', '.hta')
  AND icontains("TargetFilename", '\Users\', '\Temp\', '\Windows\Tasks\')

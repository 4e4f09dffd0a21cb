/*---
id: windows.powershell_encoded
title: PowerShell with an encoded command
severity: medium
status: experimental
description: PowerShell with an encoded command.
attack: [T1059.001]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "CommandLine",
       "ParentImage"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 1
  AND iends("Image", '\powershell.exe', '\pwsh.exe')
  AND icontains("CommandLine", ' -enc', ' -e ', ' -ec ', 'FromBase64String')

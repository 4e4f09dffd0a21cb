/*---
id: windows.powershell_in_other_process
title: PowerShell engine loaded by another program
severity: medium
status: experimental
description: PowerShell engine loaded by another program.
attack: [T1059.001]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Image",
       "ImageLoaded"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 7
  AND iends("ImageLoaded", '\System.Management.Automation.dll', '\System.Management.Automation.ni.dll')
  AND NOT iends("Image", '\powershell.exe', '\powershell_ise.exe', '\wsmprovhost.exe')

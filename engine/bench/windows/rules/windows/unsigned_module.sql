/*---
id: windows.unsigned_module
title: Unsigned module from a folder of users
severity: medium
status: experimental
description: Unsigned module from a folder of users.
attack: [T1574.001]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Image",
       "ImageLoaded"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 7
  AND "Signed" = 'false'
  AND icontains("ImageLoaded", '\Users\', '\Temp\', '\ProgramData\')

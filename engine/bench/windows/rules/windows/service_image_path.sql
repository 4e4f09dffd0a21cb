/*---
id: windows.service_image_path
title: Image path of a service set
severity: medium
status: experimental
description: Image path of a service set.
attack: [T1543.003]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Image",
       "TargetObject",
       "Details"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 13
  AND istarts("TargetObject", 'HKLM\System\CurrentControlSet\Services\')
  AND iends("TargetObject", '\ImagePath')

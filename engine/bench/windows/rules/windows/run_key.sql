/*---
id: windows.run_key
title: Program set to start at sign-in
severity: medium
status: experimental
description: Program set to start at sign-in.
attack: [T1547.001]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Image",
       "TargetObject",
       "Details"
FROM raw.windows_event
WHERE "Channel" = 'Microsoft-Windows-Sysmon/Operational' AND "EventID" = 13
  AND icontains("TargetObject", '\CurrentVersion\Run', '\CurrentVersion\RunOnce', '\Winlogon\Shell')

/*---
id: windows.service_installed
title: Service installed with a program of attack tools
severity: high
status: experimental
description: Service installed with a program of attack tools.
attack: [T1543.003]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "ServiceName",
       "ImagePath"
FROM raw.windows_event
WHERE "EventID" IN (7045, 4697)
  AND icontains("ImagePath", 'PSEXESVC', 'cmd.exe', 'powershell', '\\127.0.0.1\')

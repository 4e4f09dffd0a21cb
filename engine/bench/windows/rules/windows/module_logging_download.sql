/*---
id: windows.module_logging_download
title: PowerShell module logging shows a download
severity: medium
status: experimental
description: PowerShell module logging shows a download.
attack: [T1105]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Payload"
FROM raw.windows_event
WHERE "EventID" = 4103
  AND icontains("Payload", 'DownloadString', 'DownloadFile', 'Invoke-WebRequest', 'Start-BitsTransfer')

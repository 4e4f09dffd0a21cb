/*---
id: windows.known_pipe
title: Named pipe of an attack tool
severity: high
status: experimental
description: Named pipe of an attack tool.
attack: [T1570]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "Image",
       "PipeName"
FROM raw.windows_event
WHERE "EventID" IN (17, 18)
  AND istarts("PipeName", '\PSEXESVC', '\msagent_', '\postex_', '\gruntsvc', '\paexec')

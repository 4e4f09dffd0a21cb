/*---
id: windows.script_block_suspicious
title: Script block with the words of attack tools
severity: high
status: experimental
description: Script block with the words of attack tools.
attack: [T1059.001]
entity: {device: device}
---*/
SELECT time,
       lower("Hostname") AS device,
       "ScriptBlockText"
FROM raw.windows_event
WHERE "EventID" = 4104
  AND icontains("ScriptBlockText", 'Invoke-Mimikatz', 'AmsiUtils', 'VirtualAlloc', 'Net.WebClient', 'Get-Keystrokes', 'function reverse')

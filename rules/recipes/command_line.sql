/*---
id: recipes.command_line
title: An encoded download in a command line
severity: medium
status: stable
entity: {device_entity: device}
false_positives: [An example that is not loaded]
runbook: Copy it, then write who to ask.
---*/
SELECT device_entity, process_cmd_line, time
FROM process
WHERE iends(process_path, '\powershell.exe', '\pwsh.exe')
  AND (icontains(process_cmd_line, 'downloadstring', 'invoke-webrequest')
       OR base64_contains(process_cmd_line, 'http://'))
/*--- tests
- name: a download
  events: [&a {t: +0s, table: process, device_entity: pc1, process_path: 'C:\Windows\PowerShell.exe', process_cmd_line: 'IEX (New-Object Net.WebClient).DownloadString(1)'}]
  expect: [{device_entity: pc1}]
- name: another program
  events: [{<<: *a, process_path: 'C:\Windows\cmd.exe'}]
  expect: []
---*/

/*---
id: refused.r014_like
title: Refused
severity: low
status: experimental
---*/
SELECT device_entity, time
FROM process
WHERE process_cmd_line LIKE '%\temp\x.exe%'

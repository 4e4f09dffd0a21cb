/*---
id: hostile.array_repeat
title: Hostile
severity: low
---*/
SELECT array_length(array_repeat(array_repeat(1, 1000000), 2000)) AS x FROM authentication

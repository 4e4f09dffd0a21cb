/*---
id: hostile.array_resize
title: Hostile
severity: low
---*/
SELECT array_resize([1], 2000000000) AS x FROM authentication

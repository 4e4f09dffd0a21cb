/*---
id: hostile.replace
title: Hostile
severity: low
---*/
SELECT replace(repeat('a', 1000000), 'a', repeat('b', 1000000)) AS x FROM authentication

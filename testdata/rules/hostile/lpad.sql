/*---
id: hostile.lpad
title: Hostile
severity: low
---*/
SELECT lpad('a', 2147483647, 'b') AS x FROM authentication

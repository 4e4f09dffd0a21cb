/*---
id: hostile.levenshtein
title: Hostile
severity: low
---*/
SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000)) AS x FROM authentication

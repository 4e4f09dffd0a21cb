/*---
id: hostile.cte_recursive
title: Hostile
severity: low
---*/
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r

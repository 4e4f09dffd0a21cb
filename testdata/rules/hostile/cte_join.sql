/*---
id: hostile.cte_join
title: Hostile
severity: low
---*/
WITH t0 AS (SELECT user_entity, user_name AS s FROM authentication), t1 AS (SELECT a.user_entity, b.s FROM t0 a JOIN t0 b ON a.s = b.s), t2 AS (SELECT a.user_entity, b.s FROM t1 a JOIN t1 b ON a.s = b.s), t3 AS (SELECT a.user_entity, b.s FROM t2 a JOIN t2 b ON a.s = b.s), t4 AS (SELECT a.user_entity, b.s FROM t3 a JOIN t3 b ON a.s = b.s), t5 AS (SELECT a.user_entity, b.s FROM t4 a JOIN t4 b ON a.s = b.s), t6 AS (SELECT a.user_entity, b.s FROM t5 a JOIN t5 b ON a.s = b.s) SELECT user_entity, s FROM t6

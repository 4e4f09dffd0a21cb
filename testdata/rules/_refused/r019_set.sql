/*---
id: refused.r019_set
title: Refused
severity: low
status: experimental
---*/
SET datafusion.execution.batch_size = 1

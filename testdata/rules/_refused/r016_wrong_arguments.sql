/*---
id: refused.r016_wrong_arguments
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE icontains(user_name, user_email)

/*---
id: hostile.lambda
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication WHERE array_any_match(users, a -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> array_any_match(users, b -> true)))))))))))))

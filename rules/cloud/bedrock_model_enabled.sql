/*---
id: cloud.bedrock_model_enabled
title: Foundation model enabled in the account
severity: medium
status: stable
description: Access to a foundation model was agreed to or enabled. Stolen cloud access is sold for the use of such models.
attack: [TA0040, T1496]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A team that starts to use a model
runbook: Ask the owner of the principal. Look at the use of models and its cost since.
references: ["https://attack.mitre.org/techniques/T1496/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       json_get_str(request, 'modelId') AS model,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' enabled ', coalesce(json_get_str(request, 'modelId'), 'foundation models'), ' in account ', cloud_account_uid) AS title
FROM api_activity
WHERE api_service = 'bedrock.amazonaws.com'
  AND api_operation IN ('PutFoundationModelEntitlement', 'CreateFoundationModelAgreement', 'PutUseCaseForModelAccess')
  AND status = 'Success'
/*--- tests
- name: a model is enabled
  events:
    - &enable {t: +0s, table: api_activity, api_service: bedrock.amazonaws.com, api_operation: PutFoundationModelEntitlement, status: Success, user_entity: ann, cloud_account_uid: "111122223333", request: '{"modelId":"example.model-v1"}'}
  expect: [{user_entity: ann, model: example.model-v1}]
- name: the use of a model is quiet
  events: [{<<: *enable, api_operation: InvokeModel}]
  expect: []
---*/

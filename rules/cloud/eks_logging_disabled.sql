/*---
id: cloud.eks_logging_disabled
title: Logs of a Kubernetes control plane turned off
severity: high
status: stable
description: A kind of control plane log of an EKS cluster was turned off. Without the audit log nobody sees what is done in the cluster.
attack: [TA0005, T1685.002]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - A test cluster that saves the cost of its logs
blind_spots:
  - A cluster that was made without logs
runbook: Turn the logs on again. Look at what the same principal did before, and for changes of access entries and roles of the cluster since.
references: ["https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html", "https://attack.mitre.org/techniques/T1685/002/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       json_get_str(request, 'name') AS cluster,
       json_get_str(request, 'logging', 'clusterLogging') AS logging,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' turned logs of the cluster ', json_get_str(request, 'name'), ' off') AS title
FROM api_activity
WHERE api_service = 'eks.amazonaws.com'
  AND api_operation = 'UpdateClusterConfig'
  AND status = 'Success'
  AND json_get_str(request, 'logging', 'clusterLogging') LIKE '%"enabled":false%'
/*--- tests
- name: the audit log is turned off
  events:
    - &off {t: +0s, table: api_activity, api_service: eks.amazonaws.com, api_operation: UpdateClusterConfig, status: Success, user_entity: ann, request: '{"name":"shop","logging":{"clusterLogging":[{"types":["api"],"enabled":true},{"types":["audit"],"enabled":false}]}}'}
  expect: [{user_entity: ann, cluster: shop, title: ann turned logs of the cluster shop off}]
- name: turning them on is quiet
  events: [{<<: *off, request: '{"name":"shop","logging":{"clusterLogging":[{"types":["api","audit"],"enabled":true}]}}'}]
  expect: []
- name: another setting is quiet
  events: [{<<: *off, request: '{"name":"shop","resourcesVpcConfig":{"endpointPublicAccess":false}}'}]
  expect: []
- name: a refused change is quiet
  events: [{<<: *off, status: Failure}]
  expect: []
---*/

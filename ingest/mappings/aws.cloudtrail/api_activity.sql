/*---
id: aws.cloudtrail.api_activity
title: "AWS CloudTrail: every other call"
source: aws.cloudtrail
to: api_activity
class: 6003
codec: json
unwrap: ["$.Records[*]", "$[*]", "$.detail", "$"]
detect: {has: [eventVersion|eventID|userIdentity, eventSource|insightDetails, eventName|insightDetails], lacks: [s3, Sns, ses, dynamodb, kinesis, codecommit]}
columns:
  eventTime: timestamp
  eventID: string
  eventSource: string
  eventName: string
  awsRegion: string
  sourceIPAddress: string
  userAgent: string
  errorCode: string
  errorMessage: string
  readOnly: bool
  apiVersion: string
  recipientAccountId: string
  requestParameters: json
  resources: [{ARN: string, type: string}]
  insightDetails: json
  eventType: string
  additionalEventData: json
  responseElements: json
  serviceEventDetails: json
  userIdentity:
    type: string
    principalId: string
    arn: string
    accountId: string
    accessKeyId: string
    userName: string
    invokedBy: string
    onBehalfOf: {userId: string, identityStoreArn: string}
    sessionContext:
      ec2RoleDelivery: string
      attributes: {mfaAuthenticated: string}
      sessionIssuer: {type: string, arn: string, userName: string}
time: eventTime
native_id: eventID
time_settings: {delay: 60s, lateness: 20m, max_skew: 5m, idle: 60s}
priority: 90                                   # no `when`: takes what the others left
vendor: AWS
product: CloudTrail
references: ["https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html"]
---*/
SELECT eventTime AS time,
       CASE
         -- An Insights event is about calls, and none itself.
         WHEN insightDetails IS NOT NULL THEN 'Other'
         WHEN readOnly THEN 'Read'
         WHEN eventName LIKE 'Create%' OR eventName LIKE 'Run%' OR eventName LIKE 'Start%' THEN 'Create'
         WHEN eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%' OR eventName LIKE 'Remove%' THEN 'Delete'
         WHEN eventName LIKE 'Get%' OR eventName LIKE 'List%' OR eventName LIKE 'Describe%' THEN 'Read'
         WHEN eventName IS NOT NULL THEN 'Update'
         ELSE 'Unknown'
       END AS activity,
       -- The outcome is where the event keeps it: in the error of a call, under its own name in the answer of a sign-in or the
       -- details of a service event, in the state of a job, in the name of a rotation, in the HTTP status of a sign-in page.
       -- Without an error only a call is known to have succeeded.
       CASE
         WHEN nullif(errorCode, '') IS NOT NULL THEN 'Failure'
         WHEN eventType = 'AwsApiCall' THEN CASE WHEN nullif(errorMessage, '') IS NOT NULL OR responseElements LIKE '%"_return":false%' THEN 'Failure' ELSE 'Success' END
         WHEN lower(coalesce(json_get_str(responseElements, eventName), json_get_str(serviceEventDetails, eventName),
           json_get_str(serviceEventDetails, concat(lower(left(eventName, 1)), substr(eventName, 2), 'Status'), 'state'), json_get_str(serviceEventDetails, 'state'))) IN ('failure', 'failed', 'aborted', 'expired') THEN 'Failure'
         WHEN eventType = 'AwsServiceEvent' AND (eventName LIKE '%Failed' OR json_get_int(additionalEventData, 'responseParameters', 'status') >= 400) THEN 'Failure'
         WHEN nullif(errorMessage, '') IS NOT NULL THEN 'Failure'
         WHEN lower(coalesce(json_get_str(responseElements, eventName), json_get_str(serviceEventDetails, eventName),
           json_get_str(serviceEventDetails, concat(lower(left(eventName, 1)), substr(eventName, 2), 'Status'), 'state'), json_get_str(serviceEventDetails, 'state'))) IN ('success', 'succeeded', 'completed') THEN 'Success'
         WHEN eventType = 'AwsServiceEvent' AND eventName LIKE '%Succeeded' THEN 'Success'
         WHEN eventType IN ('AwsConsoleAction', 'AwsVpceEvent') THEN 'Success'
         ELSE 'Unknown'
       END AS status,
       coalesce(errorMessage, json_get_str(insightDetails, 'insightType')) AS status_detail,
       coalesce(eventName, json_get_str(insightDetails, 'insightType')) AS event_code,
       eventID AS native_uid,
       coalesce(
         CASE WHEN userIdentity.type = 'Root' THEN concat('root@', coalesce(userIdentity.accountId, recipientAccountId)) END,
         -- CloudTrail hides a name that may be a password typed in the wrong field.
         nullif(userIdentity.userName, 'HIDDEN_DUE_TO_SECURITY_REASONS'),
         json_get_str(additionalEventData, 'UserName'),
         CASE
           -- Only AWS makes roles below this path: in any other role the session's name is what the caller chose.
           WHEN userIdentity.sessionContext.sessionIssuer.arn LIKE '%:role/aws-reserved/sso.amazonaws.com/%'
           THEN nullif(split_part(userIdentity.principalId, ':', 2), '')
         END,
         CASE WHEN userIdentity.type = 'FederatedUser' THEN nullif(split_part(userIdentity.arn, '/', 2), '') END,
         userIdentity.sessionContext.sessionIssuer.userName,
         userIdentity.invokedBy,
         -- A user may be in a path: user/division/ann.
         CASE
           WHEN userIdentity.arn LIKE '%:user/%' THEN nullif(split_part(userIdentity.arn, '/', -1), '')
           ELSE nullif(split_part(userIdentity.arn, '/', 2), '')
         END,
         CASE WHEN insightDetails IS NOT NULL THEN nullif(regexp_replace(coalesce(
           CASE WHEN json_get_str(insightDetails, 'insightContext', 'attributions', '0', 'attribute') = 'userIdentityArn' THEN json_get_str(insightDetails, 'insightContext', 'attributions', '0', 'insight', '0', 'value') END,
           CASE WHEN json_get_str(insightDetails, 'insightContext', 'attributions', '1', 'attribute') = 'userIdentityArn' THEN json_get_str(insightDetails, 'insightContext', 'attributions', '1', 'insight', '0', 'value') END,
           CASE WHEN json_get_str(insightDetails, 'insightContext', 'attributions', '2', 'attribute') = 'userIdentityArn' THEN json_get_str(insightDetails, 'insightContext', 'attributions', '2', 'insight', '0', 'value') END
         ), '^.*:user/(?:.*/)?([^/]*)$|^[^/]*/([^/]*).*$', '\1\2'), '') END
       ) AS user_name,
       coalesce(
         userIdentity.principalId, userIdentity.onBehalfOf.userId, userIdentity.arn,
         CASE WHEN json_get_str(insightDetails, 'insightContext', 'attributions', '0', 'attribute') = 'userIdentityArn' THEN json_get_str(insightDetails, 'insightContext', 'attributions', '0', 'insight', '0', 'value') END,
         CASE WHEN json_get_str(insightDetails, 'insightContext', 'attributions', '1', 'attribute') = 'userIdentityArn' THEN json_get_str(insightDetails, 'insightContext', 'attributions', '1', 'insight', '0', 'value') END,
         CASE WHEN json_get_str(insightDetails, 'insightContext', 'attributions', '2', 'attribute') = 'userIdentityArn' THEN json_get_str(insightDetails, 'insightContext', 'attributions', '2', 'insight', '0', 'value') END
       ) AS user_uid,
       userIdentity.type AS user_type,
       userIdentity.accountId AS user_domain,
       -- The session of an instance role carries the instance's id: that is the device the credentials belong to. Without the
       -- mark of EC2's delivery the name is what the caller chose.
       CASE
         WHEN userIdentity.sessionContext.ec2RoleDelivery IS NOT NULL AND split_part(userIdentity.principalId, ':', 2) LIKE 'i-%'
         THEN split_part(userIdentity.principalId, ':', 2)
       END AS device_uid,
       CASE WHEN sourceIPAddress NOT LIKE '%.amazonaws.com' AND sourceIPAddress <> 'AWS Internal' THEN sourceIPAddress END AS src_ip,
       CASE WHEN sourceIPAddress LIKE '%.amazonaws.com' OR sourceIPAddress = 'AWS Internal' THEN sourceIPAddress END AS src_hostname,
       userAgent AS user_agent,
       userIdentity.accessKeyId AS session_uid,
       userIdentity.sessionContext.attributes.mfaAuthenticated = 'true' AS session_is_mfa,
       userIdentity.sessionContext.sessionIssuer.arn AS session_issuer,
       coalesce(eventSource, json_get_str(insightDetails, 'eventSource')) AS api_service,
       coalesce(eventName, json_get_str(insightDetails, 'eventName')) AS api_operation,
       apiVersion AS api_version,
       requestParameters AS request,
       coalesce(nullif(errorCode, ''), json_get_str(insightDetails, 'errorCode')) AS error_code,
       coalesce(
         resources[1]['ARN'],
         json_get_str(requestParameters, 'instanceId'),
         json_get_str(requestParameters, 'secretId'),
         json_get_str(requestParameters, 'bucketName'),
         json_get_str(requestParameters, 'functionName'),
         json_get_str(requestParameters, 'target'),
         json_get_str(requestParameters, 'imageId'),
         json_get_str(requestParameters, 'snapshotId'),
         json_get_str(requestParameters, 'groupId'),
         json_get_str(requestParameters, 'name')
       ) AS resource_uid,
       resources[1]['type'] AS resource_type,
       coalesce(
         json_get_str(requestParameters, 'bucketName'),
         json_get_str(requestParameters, 'key'),
         json_get_str(requestParameters, 'name')
       ) AS resource_name,
       array_transform(resources, r -> r['ARN']) AS resources,
       readOnly AS is_read_only,
       'AWS' AS cloud_provider,
       coalesce(recipientAccountId, userIdentity.accountId) AS cloud_account_uid,
       awsRegion AS cloud_region,
       userIdentity.arn AS "unmapped.arn",
       userIdentity.onBehalfOf.userId AS "unmapped.on_behalf_of",
       json_get_str(insightDetails, 'state') AS "unmapped.insight_state"
FROM aws_cloudtrail
/*--- tests
- name: a secret read by a user
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE1","userName":"ann"},"eventTime":"2025-12-31T09:00:00Z","eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue","awsRegion":"eu-central-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2.15","requestParameters":{"secretId":"prod/db"},"responseElements":null,"readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000001","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, time: "2025-12-31T09:00:00Z", activity: Read, status: Success, user_name: ann, api_service: secretsmanager.amazonaws.com, api_operation: GetSecretValue, resource_uid: prod/db, is_read_only: true, src_ip: 203.0.113.9, cloud_region: eu-central-1}
- name: a call refused to the role of an instance
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE1:i-0abc1234","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0abc1234","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE1","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/web","userName":"web"},"attributes":{"creationDate":"2025-12-31T08:00:00Z","mfaAuthenticated":"false"},"ec2RoleDelivery":"2.0"}},"eventTime":"2025-12-31T09:01:00Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","awsRegion":"eu-central-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2.15","errorCode":"AccessDenied","errorMessage":"Access Denied","requestParameters":{},"responseElements":null,"readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000002","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, status: Failure, error_code: AccessDenied, user_name: web, device_uid: i-0abc1234, session_issuer: "arn:aws:iam::111122223333:role/web"}
- name: an object deleted, with the resources the record names
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"},"eventTime":"2025-12-31T09:02:00Z","eventSource":"s3.amazonaws.com","eventName":"DeleteObject","awsRegion":"eu-central-1","sourceIPAddress":"AWS Internal","userAgent":"AWS Internal","requestParameters":{"bucketName":"logs","key":"2026/a.gz"},"responseElements":null,"readOnly":false,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::logs/2026/a.gz"},{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::logs","accountId":"111122223333"}],"eventID":"cccccccc-0000-4000-8000-000000000003","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, activity: Delete, user_name: root@111122223333, user_type: Root, src_ip: null, src_hostname: aws internal, resource_uid: "arn:aws:s3:::logs/2026/a.gz", resource_type: "AWS::S3::Object", resources: ["arn:aws:s3:::logs/2026/a.gz", "arn:aws:s3:::logs"]}
- name: an Insights event names the calls it is about, and has no outcome
  raw: '{"eventVersion":"1.09","eventTime":"2025-12-31T09:03:00Z","awsRegion":"eu-central-1","eventID":"cccccccc-0000-4000-8000-000000000004","eventType":"AwsCloudTrailInsight","recipientAccountId":"111122223333","sharedEventID":"s","insightDetails":{"state":"Start","eventSource":"iam.amazonaws.com","eventName":"ListUsers","insightType":"ApiCallRateInsight","insightContext":{"statistics":{},"attributions":[{"attribute":"userAgent","insight":[{"value":"aws-cli","average":1.0}]},{"attribute":"userIdentityArn","insight":[{"value":"arn:aws:sts::111122223333:assumed-role/web/i-1","average":1.0}]}]}},"eventCategory":"Insight"}'
  expect:
    - {table: api_activity, activity: Other, status: Unknown, api_service: iam.amazonaws.com, api_operation: ListUsers, event_code: ApiCallRateInsight, user_name: web, user_uid: "arn:aws:sts::111122223333:assumed-role/web/i-1", error_code: null}
- name: a user in a path, and one that is federated
  records:
    - '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/dev/eu/ann","accountId":"111122223333"},"eventTime":"2025-12-31T09:04:00Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","sourceIPAddress":"203.0.113.9","readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000005","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
    - '{"eventVersion":"1.08","userIdentity":{"type":"FederatedUser","principalId":"111122223333:bob","arn":"arn:aws:sts::111122223333:federated-user/bob","accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ann","userName":"ann"}}},"eventTime":"2025-12-31T09:04:01Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","sourceIPAddress":"203.0.113.9","readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000006","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, user_name: ann, status: Success}
    - {table: api_activity, user_name: bob, session_issuer: "arn:aws:iam::111122223333:user/ann"}
- name: a session named like an instance or a person is neither, an empty key is none
  records:
    - '{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE1:i-0abc1234","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0abc1234","accountId":"111122223333","accessKeyId":"","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/web","userName":"web"}}},"eventTime":"2025-12-31T09:04:02Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","sourceIPAddress":"203.0.113.9","readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000007","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
    - '{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE2:admin@example.com","arn":"","accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/AWSReservedSSO_Fake","userName":"AWSReservedSSO_Fake"}}},"eventTime":"2025-12-31T09:04:03Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","sourceIPAddress":"203.0.113.9","readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000008","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, user_name: web, device_uid: null, session_uid: null}
    - {table: api_activity, user_name: AWSReservedSSO_Fake, unmapped: null}
- name: a record with nothing but its keys says nothing
  raw: '{"eventVersion":"1.08","eventSource":"s3.amazonaws.com","eventName":"ListBuckets"}'
  expect:
    - {table: api_activity, status: Unknown, user_name: null, user_uid: null, src_ip: null, error_code: null}
- name: a Kubernetes event is no CloudTrail record
  raw: '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k","stage":"ResponseComplete","user":{"username":"ann"},"verb":"list"}'
  dead_letter: not_this_source
  expect: []
- name: an outcome in the state of a job, in a nested state, in a name, in an answer
  records:
    - '{"eventVersion":"1.09","userIdentity":{"accountId":"111122223333","invokedBy":"backup.amazonaws.com"},"eventTime":"2025-12-31T09:05:00Z","eventSource":"backup.amazonaws.com","eventName":"BackupJobCompleted","eventID":"cccccccc-0000-4000-8000-000000000009","eventType":"AwsServiceEvent","recipientAccountId":"111122223333","serviceEventDetails":{"backupJobId":"b","state":"FAILED"}}'
    - '{"eventVersion":"1.09","userIdentity":{"accountId":"111122223333","invokedBy":"AWS Internal"},"eventTime":"2025-12-31T09:05:01Z","eventSource":"controltower.amazonaws.com","eventName":"CreateManagedAccount","eventID":"cccccccc-0000-4000-8000-000000000010","eventType":"AwsServiceEvent","recipientAccountId":"111122223333","serviceEventDetails":{"createManagedAccountStatus":{"state":"SUCCEEDED","message":"m"}}}'
    - '{"eventVersion":"1.09","userIdentity":{"accountId":"111122223333","invokedBy":"secretsmanager.amazonaws.com"},"eventTime":"2025-12-31T09:05:02Z","eventSource":"secretsmanager.amazonaws.com","eventName":"RotationFailed","eventID":"cccccccc-0000-4000-8000-000000000011","eventType":"AwsServiceEvent","recipientAccountId":"111122223333","additionalEventData":{"SecretId":"s"}}'
    - '{"eventVersion":"1.09","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ann","userName":"ann"},"eventTime":"2025-12-31T09:05:03Z","eventSource":"ec2.amazonaws.com","eventName":"AuthorizeSecurityGroupIngress","eventID":"cccccccc-0000-4000-8000-000000000012","eventType":"AwsApiCall","recipientAccountId":"111122223333","responseElements":{"requestId":"r","_return":false}}'
    - '{"eventVersion":"1.09","userIdentity":{"accountId":"111122223333","invokedBy":"backup.amazonaws.com"},"eventTime":"2025-12-31T09:05:04Z","eventSource":"backup.amazonaws.com","eventName":"BackupJobStarted","eventID":"cccccccc-0000-4000-8000-000000000013","eventType":"AwsServiceEvent","recipientAccountId":"111122223333","serviceEventDetails":{"backupJobId":"b","state":"RUNNING"}}'
  expect:
    - {table: api_activity, status: Failure, user_name: backup.amazonaws.com}
    - {table: api_activity, status: Success}
    - {table: api_activity, status: Failure}
    - {table: api_activity, status: Failure, user_name: ann}
    - {table: api_activity, status: Unknown}
- name: a user in a path, as an Insights event names it
  raw: '{"eventVersion":"1.09","eventTime":"2025-12-31T09:06:00Z","eventID":"cccccccc-0000-4000-8000-000000000014","eventType":"AwsCloudTrailInsight","recipientAccountId":"111122223333","insightDetails":{"state":"End","eventSource":"iam.amazonaws.com","eventName":"ListUsers","insightType":"ApiCallRateInsight","insightContext":{"attributions":[{"attribute":"userIdentityArn","insight":[{"value":"arn:aws:iam::111122223333:user/dev/eu/ann","average":1.0}]}]}}}'
  expect:
    - {table: api_activity, status: Unknown, user_name: ann}
---*/

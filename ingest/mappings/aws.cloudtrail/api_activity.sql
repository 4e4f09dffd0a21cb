/*---
id: aws.cloudtrail.api_activity
title: "AWS CloudTrail: every other call"
source: aws.cloudtrail
to: api_activity
class: 6003
codec: json
unwrap: ["$.Records[*]", "$[*]", "$.detail", "$"]
detect: {has: [eventVersion, eventSource, eventName]}
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
  userIdentity:
    type: string
    principalId: string
    arn: string
    accountId: string
    accessKeyId: string
    userName: string
    invokedBy: string
    sessionContext:
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
         WHEN readOnly THEN 'Read'
         WHEN eventName LIKE 'Create%' OR eventName LIKE 'Run%' OR eventName LIKE 'Start%' THEN 'Create'
         WHEN eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%' OR eventName LIKE 'Remove%' THEN 'Delete'
         WHEN eventName LIKE 'Get%' OR eventName LIKE 'List%' OR eventName LIKE 'Describe%' THEN 'Read'
         WHEN eventName IS NOT NULL THEN 'Update'
         ELSE 'Unknown'
       END AS activity,
       CASE WHEN nullif(errorCode, '') IS NULL THEN 'Success' ELSE 'Failure' END AS status,
       errorMessage AS status_detail,
       eventName AS event_code,
       eventID AS native_uid,
       coalesce(
         CASE WHEN userIdentity.type = 'Root' THEN concat('root@', coalesce(userIdentity.accountId, recipientAccountId)) END,
         userIdentity.userName,
         CASE
           WHEN userIdentity.sessionContext.sessionIssuer.userName LIKE 'AWSReservedSSO%'
           THEN nullif(split_part(userIdentity.principalId, ':', 2), '')
         END,
         userIdentity.sessionContext.sessionIssuer.userName,
         userIdentity.invokedBy,
         nullif(split_part(userIdentity.arn, '/', 2), '')
       ) AS user_name,
       coalesce(userIdentity.principalId, userIdentity.arn) AS user_uid,
       userIdentity.type AS user_type,
       userIdentity.accountId AS user_domain,
       -- The session of an instance role carries the instance's id: that is the device the credentials belong to.
       CASE WHEN split_part(userIdentity.principalId, ':', 2) LIKE 'i-%' THEN split_part(userIdentity.principalId, ':', 2) END AS device_uid,
       CASE WHEN sourceIPAddress NOT LIKE '%.amazonaws.com' AND sourceIPAddress <> 'AWS Internal' THEN sourceIPAddress END AS src_ip,
       CASE WHEN sourceIPAddress LIKE '%.amazonaws.com' OR sourceIPAddress = 'AWS Internal' THEN sourceIPAddress END AS src_hostname,
       userAgent AS user_agent,
       userIdentity.accessKeyId AS session_uid,
       userIdentity.sessionContext.attributes.mfaAuthenticated = 'true' AS session_is_mfa,
       userIdentity.sessionContext.sessionIssuer.arn AS session_issuer,
       eventSource AS api_service,
       eventName AS api_operation,
       apiVersion AS api_version,
       requestParameters AS request,
       nullif(errorCode, '') AS error_code,
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
       userIdentity.arn AS "unmapped.arn"
FROM aws_cloudtrail
/*--- tests
- name: a secret read by a user
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE1","userName":"ann"},"eventTime":"2025-12-31T09:00:00Z","eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue","awsRegion":"eu-central-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2.15","requestParameters":{"secretId":"prod/db"},"responseElements":null,"readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000001","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, time: "2025-12-31T09:00:00Z", activity: Read, status: Success, user_name: ann, api_service: secretsmanager.amazonaws.com, api_operation: GetSecretValue, resource_uid: prod/db, is_read_only: true, src_ip: 203.0.113.9, cloud_region: eu-central-1}
- name: a call refused to the role of an instance
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE1:i-0abc1234","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0abc1234","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE1","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/web","userName":"web"},"attributes":{"creationDate":"2025-12-31T08:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2025-12-31T09:01:00Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","awsRegion":"eu-central-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2.15","errorCode":"AccessDenied","errorMessage":"Access Denied","requestParameters":{},"responseElements":null,"readOnly":true,"eventID":"cccccccc-0000-4000-8000-000000000002","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, status: Failure, error_code: AccessDenied, user_name: web, device_uid: i-0abc1234, session_issuer: "arn:aws:iam::111122223333:role/web"}
- name: an object deleted, with the resources the record names
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"},"eventTime":"2025-12-31T09:02:00Z","eventSource":"s3.amazonaws.com","eventName":"DeleteObject","awsRegion":"eu-central-1","sourceIPAddress":"AWS Internal","userAgent":"AWS Internal","requestParameters":{"bucketName":"logs","key":"2026/a.gz"},"responseElements":null,"readOnly":false,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::logs/2026/a.gz"},{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::logs","accountId":"111122223333"}],"eventID":"cccccccc-0000-4000-8000-000000000003","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: api_activity, activity: Delete, user_name: root@111122223333, user_type: Root, src_ip: null, src_hostname: aws internal, resource_uid: "arn:aws:s3:::logs/2026/a.gz", resource_type: "AWS::S3::Object", resources: ["arn:aws:s3:::logs/2026/a.gz", "arn:aws:s3:::logs"]}
---*/

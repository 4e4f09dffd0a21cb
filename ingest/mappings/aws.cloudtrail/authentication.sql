/*---
id: aws.cloudtrail.authentication
title: "AWS CloudTrail: console sign-ins and temporary credentials"
source: aws.cloudtrail
to: authentication
class: 3002
codec: json
unwrap: ["$.Records[*]", "$[*]", "$.detail", "$"]    # S3 object, array, EventBridge, single record
detect: {has: [eventVersion|eventID|userIdentity, eventSource|insightDetails, eventName|insightDetails], lacks: [s3, Sns, ses, dynamodb, kinesis, codecommit]}
columns:
  eventTime: timestamp
  eventID: string
  eventSource: string
  eventName: string
  eventType: string
  awsRegion: string
  sourceIPAddress: string
  userAgent: string
  errorCode: string
  errorMessage: string
  recipientAccountId: string
  requestParameters: json
  responseElements: json
  additionalEventData: json
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
when: >-
  eventName IN ('ConsoleLogin', 'SwitchRole', 'ExitRole', 'CheckMfa', 'UserAuthentication',
                'CredentialChallenge', 'CredentialVerification', 'ExternalIdPDirectoryLogin', 'Federate')
  OR (eventSource = 'sts.amazonaws.com'
      AND eventName IN ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'AssumeRoot',
                        'GetSessionToken', 'GetFederationToken'))
priority: 10
vendor: AWS
product: CloudTrail
references:
  - "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html"
  - "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-aws-console-sign-in-events.html"
---*/
SELECT eventTime AS time,
       CASE
         WHEN eventName IN ('SwitchRole', 'ExitRole', 'AssumeRole', 'AssumeRoot') THEN 'Account Switch'
         WHEN eventName IN ('GetSessionToken', 'GetFederationToken') THEN 'Authentication Ticket'
         -- A question, not yet a sign-in.
         WHEN eventName IN ('CredentialChallenge', 'CheckMfa') THEN 'Preauth'
         ELSE 'Logon'
       END AS activity,
       -- The outcome is where the event keeps it: in the error of a call, under its own name in the answer of a sign-in or the
       -- details of a service event. Without an error only a call is known to have succeeded.
       CASE
         WHEN nullif(errorCode, '') IS NOT NULL THEN 'Failure'
         WHEN eventType = 'AwsApiCall' THEN CASE WHEN nullif(errorMessage, '') IS NOT NULL OR responseElements LIKE '%"_return":false%' THEN 'Failure' ELSE 'Success' END
         WHEN lower(coalesce(json_get_str(responseElements, eventName), json_get_str(serviceEventDetails, eventName))) IN ('failure', 'failed') THEN 'Failure'
         WHEN nullif(errorMessage, '') IS NOT NULL THEN 'Failure'
         WHEN lower(coalesce(json_get_str(responseElements, eventName), json_get_str(serviceEventDetails, eventName))) IN ('success', 'succeeded') THEN 'Success'
         WHEN eventType IN ('AwsConsoleAction', 'AwsVpceEvent') THEN 'Success'
         ELSE 'Unknown'
       END AS status,
       coalesce(errorMessage, nullif(errorCode, '')) AS status_detail,
       CASE
         WHEN errorMessage = 'No username found in supplied account' THEN 'unknown_user'
         WHEN lower(coalesce(json_get_str(responseElements, eventName), json_get_str(serviceEventDetails, eventName))) IN ('failure', 'failed') THEN
           CASE
             WHEN eventName IN ('SwitchRole', 'ExitRole') THEN 'policy'
             WHEN json_get_str(additionalEventData, 'CredentialType') NOT LIKE 'PASSWORD%' OR eventName = 'CheckMfa' THEN 'mfa_failed'
             WHEN eventName IN ('ConsoleLogin', 'CredentialVerification', 'CredentialChallenge') THEN 'bad_password'
             ELSE 'other'
           END
         WHEN errorCode IN ('AccessDenied', 'AccessDeniedException') THEN 'policy'
         WHEN errorCode IN ('ExpiredToken', 'ExpiredTokenException') THEN 'expired'
         WHEN nullif(errorCode, '') IS NOT NULL OR (nullif(errorMessage, '') IS NOT NULL AND eventName IS NOT NULL) THEN 'other'
       END AS failure_reason,
       eventName AS event_code,
       eventID AS native_uid,
       -- Who: people by name; a role by its name, but through IAM Identity Center by the person's session name.
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
         END
       ) AS user_name,
       coalesce(userIdentity.principalId, userIdentity.onBehalfOf.userId, userIdentity.arn) AS user_uid,
       userIdentity.type AS user_type,
       userIdentity.accountId AS user_domain,
       CASE WHEN sourceIPAddress NOT LIKE '%.amazonaws.com' AND sourceIPAddress <> 'AWS Internal' THEN sourceIPAddress END AS src_ip,
       CASE WHEN sourceIPAddress LIKE '%.amazonaws.com' OR sourceIPAddress = 'AWS Internal' THEN sourceIPAddress END AS src_hostname,
       userAgent AS user_agent,
       userIdentity.accessKeyId AS session_uid,
       userIdentity.sessionContext.attributes.mfaAuthenticated = 'true' AS session_is_mfa,
       coalesce(
         json_get_str(additionalEventData, 'MFAUsed') = 'Yes',
         CASE WHEN json_get_str(additionalEventData, 'CredentialType') IS NOT NULL
              THEN json_get_str(additionalEventData, 'CredentialType') NOT LIKE 'PASSWORD%' END,
         userIdentity.sessionContext.attributes.mfaAuthenticated = 'true'
       ) AS is_mfa,
       TRUE AS is_remote,
       CASE
         WHEN eventSource LIKE 'sts.%' THEN 'AWS STS'
         WHEN userIdentity.type = 'IdentityCenterUser' OR eventSource LIKE 'sso%' THEN 'AWS IAM Identity Center'
         ELSE 'AWS Console'
       END AS app_name,
       json_get_str(additionalEventData, 'SamlProviderArn') AS idp_name,
       CASE
         WHEN json_get_str(requestParameters, 'roleArn') IS NOT NULL
         THEN make_array(json_get_str(requestParameters, 'roleArn'))
       END AS privileges,
       'AWS' AS cloud_provider,
       coalesce(recipientAccountId, userIdentity.accountId) AS cloud_account_uid,
       awsRegion AS cloud_region,
       userIdentity.arn AS "unmapped.arn",
       userIdentity.onBehalfOf.userId AS "unmapped.on_behalf_of",
       json_get_str(requestParameters, 'policy') AS "unmapped.session_policy"
FROM aws_cloudtrail
/*--- tests
- name: a console sign-in without a second factor
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","userName":"ann"},"eventTime":"2025-12-31T09:00:00Z","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"Mozilla/5.0","requestParameters":null,"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No"},"eventID":"aaaaaaaa-0000-4000-8000-000000000001","eventType":"AwsConsoleSignIn","recipientAccountId":"111122223333"}'
  expect:
    - {table: authentication, time: "2025-12-31T09:00:00Z", activity: Logon, status: Success, user_name: ann, user_type: IAMUser, is_mfa: false, src_ip: 203.0.113.9, cloud_account_uid: "111122223333", app_name: AWS Console}
- name: a refused console sign-in of root
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":""},"eventTime":"2025-12-31T09:01:00Z","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"Mozilla/5.0","errorMessage":"Failed authentication","requestParameters":null,"responseElements":{"ConsoleLogin":"Failure"},"additionalEventData":{"MFAUsed":"No"},"eventID":"aaaaaaaa-0000-4000-8000-000000000002","eventType":"AwsConsoleSignIn","recipientAccountId":"111122223333"}'
  expect:
    - {table: authentication, activity: Logon, status: Failure, failure_reason: bad_password, user_name: root@111122223333, user_type: Root}
- name: a role assumed by a user
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE1","userName":"ann"},"eventTime":"2025-12-31T09:02:00Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","awsRegion":"eu-central-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2.15","requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/deploy","roleSessionName":"ann"},"responseElements":null,"eventID":"aaaaaaaa-0000-4000-8000-000000000003","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: authentication, activity: Account Switch, status: Success, user_name: ann, session_uid: AKIAEXAMPLE1, privileges: ["arn:aws:iam::111122223333:role/deploy"], app_name: AWS STS}
- name: a role assumed by a service has a service name for an address
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"eventTime":"2025-12-31T09:03:00Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","awsRegion":"eu-central-1","sourceIPAddress":"ec2.amazonaws.com","userAgent":"ec2.amazonaws.com","requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/app"},"responseElements":null,"eventID":"aaaaaaaa-0000-4000-8000-000000000004","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: authentication, status: Success, user_name: ec2.amazonaws.com, src_ip: null, src_hostname: ec2.amazonaws.com}
- name: a wrong password at the identity centre, whose user has no name in the record
  raw: '{"eventVersion":"1.11","userIdentity":{"type":"IdentityCenterUser","accountId":"111122223333","accessKeyId":"","onBehalfOf":{"userId":"90673c9d-0000-4000-8000-000000000001","identityStoreArn":"arn:aws:identitystore::111122223333:identitystore/d-1"},"credentialId":"c"},"eventTime":"2025-12-31T09:04:00Z","eventSource":"signin.amazonaws.com","eventName":"CredentialVerification","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"Mozilla/5.0","requestParameters":null,"responseElements":null,"eventID":"aaaaaaaa-0000-4000-8000-000000000005","eventType":"AwsServiceEvent","recipientAccountId":"111122223333","additionalEventData":{"CredentialType":"PASSWORD"},"serviceEventDetails":{"CredentialVerification":"Failure"}}'
  expect:
    - {table: authentication, activity: Logon, status: Failure, failure_reason: bad_password, user_name: null, user_uid: 90673c9d-0000-4000-8000-000000000001, is_mfa: false}
- name: a second factor asked for is no sign-in
  raw: '{"eventVersion":"1.11","userIdentity":{"type":"IdentityCenterUser","accountId":"111122223333","onBehalfOf":{"userId":"u-1"}},"eventTime":"2025-12-31T09:05:00Z","eventSource":"signin.amazonaws.com","eventName":"CredentialChallenge","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","eventID":"aaaaaaaa-0000-4000-8000-000000000006","eventType":"AwsServiceEvent","recipientAccountId":"111122223333","additionalEventData":{"CredentialType":"TOTP","UserName":"ann"},"serviceEventDetails":{"CredentialChallenge":"Success"}}'
  expect:
    - {table: authentication, activity: Preauth, status: Success, user_name: ann, user_uid: u-1, is_mfa: true}
- name: a role switch refused says so in the answer
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","userName":"ann"},"eventTime":"2025-12-31T09:06:00Z","eventSource":"signin.amazonaws.com","eventName":"SwitchRole","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"Mozilla/5.0","requestParameters":null,"responseElements":{"SwitchRole":"Failure"},"eventID":"aaaaaaaa-0000-4000-8000-000000000007","eventType":"AwsConsoleSignIn","recipientAccountId":"111122223333"}'
  expect:
    - {table: authentication, activity: Account Switch, status: Failure, failure_reason: policy, user_name: ann}
- name: a record with nothing but its keys says nothing
  raw: '{"eventVersion":"1.08","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin"}'
  expect:
    - {table: authentication, status: Unknown, failure_reason: null, user_name: null, user_uid: null, src_ip: null, is_mfa: null, time_flag: missing}
---*/

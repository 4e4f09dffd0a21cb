/*---
id: aws.cloudtrail.identity_change
title: "AWS CloudTrail: IAM users, roles, keys, factors, policies, trust"
source: aws.cloudtrail
to: identity_change
class: 3001
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
  recipientAccountId: string
  requestParameters: json
  responseElements: json
  eventType: string
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
  (eventSource = 'iam.amazonaws.com'
   AND eventName IN (
     'CreateUser', 'DeleteUser', 'CreateRole', 'DeleteRole',
     'CreateLoginProfile', 'UpdateLoginProfile', 'DeleteLoginProfile', 'ChangePassword',
     'CreateAccessKey', 'UpdateAccessKey', 'DeleteAccessKey',
     'EnableMFADevice', 'DeactivateMFADevice', 'DeleteVirtualMFADevice',
     'AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy',
     'DetachUserPolicy', 'DetachRolePolicy', 'DetachGroupPolicy',
     'PutUserPolicy', 'PutRolePolicy', 'PutGroupPolicy',
     'DeleteUserPolicy', 'DeleteRolePolicy', 'DeleteGroupPolicy',
     'AddUserToGroup', 'RemoveUserFromGroup', 'AddRoleToInstanceProfile', 'RemoveRoleFromInstanceProfile',
     'CreatePolicy', 'CreatePolicyVersion', 'SetDefaultPolicyVersion', 'DeletePolicy', 'DeletePolicyVersion',
     'UpdateAssumeRolePolicy', 'PutUserPermissionsBoundary', 'PutRolePermissionsBoundary',
     'DeleteUserPermissionsBoundary', 'DeleteRolePermissionsBoundary', 'UpdateAccountPasswordPolicy',
     'CreateSAMLProvider', 'UpdateSAMLProvider', 'DeleteSAMLProvider',
     'CreateOpenIDConnectProvider', 'DeleteOpenIDConnectProvider', 'AddClientIDToOpenIDConnectProvider',
     'UpdateOpenIDConnectProviderThumbprint'))
  OR (eventSource = 'rolesanywhere.amazonaws.com'
      AND eventName IN ('CreateTrustAnchor', 'UpdateTrustAnchor', 'DeleteTrustAnchor', 'EnableTrustAnchor'))
  OR (eventSource = 'signin.amazonaws.com' AND eventName = 'PasswordUpdated')
priority: 20
vendor: AWS
product: CloudTrail
references: ["https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html"]
---*/
SELECT eventTime AS time,
       CASE
         WHEN eventName IN ('AddUserToGroup', 'RemoveUserFromGroup') THEN 3006
         WHEN eventName LIKE '%SAMLProvider' OR eventName LIKE '%OpenIDConnectProvider%' OR eventName LIKE '%TrustAnchor' THEN 3004
         WHEN eventName IN ('CreatePolicy', 'CreatePolicyVersion', 'SetDefaultPolicyVersion', 'DeletePolicy',
                            'DeletePolicyVersion', 'UpdateAccountPasswordPolicy') THEN 3004
         ELSE 3001
       END AS class_uid,
       CASE
         WHEN eventName IN ('CreateUser', 'CreateRole') THEN 'Create'
         WHEN eventName IN ('DeleteUser', 'DeleteRole') THEN 'Delete'
         WHEN eventName IN ('ChangePassword', 'PasswordUpdated') THEN 'Password Change'
         WHEN eventName IN ('CreateLoginProfile', 'UpdateLoginProfile') THEN 'Password Reset'
         WHEN eventName = 'EnableMFADevice' THEN 'MFA Factor Enable'
         WHEN eventName IN ('DeactivateMFADevice', 'DeleteVirtualMFADevice') THEN 'MFA Factor Disable'
         WHEN eventName IN ('AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy', 'PutUserPolicy', 'PutRolePolicy', 'PutGroupPolicy') THEN 'Attach Policy'
         WHEN eventName IN ('DetachUserPolicy', 'DetachRolePolicy', 'DetachGroupPolicy', 'DeleteUserPolicy', 'DeleteRolePolicy', 'DeleteGroupPolicy') THEN 'Detach Policy'
         WHEN eventName = 'AddUserToGroup' THEN 'Add User'
         WHEN eventName = 'RemoveUserFromGroup' THEN 'Remove User'
         WHEN eventName = 'DeleteLoginProfile' THEN 'Disable'
         -- Keys, boundaries: a change to an account that its class has no word for.
         WHEN eventName LIKE '%AccessKey' OR eventName LIKE '%PermissionsBoundary' THEN 'Other'
         WHEN eventName LIKE 'Create%' THEN 'Create'
         WHEN eventName LIKE 'Delete%' THEN 'Delete'
         WHEN eventName LIKE '%Provider%' OR eventName LIKE '%TrustAnchor'
           OR eventName IN ('SetDefaultPolicyVersion', 'UpdateAccountPasswordPolicy') THEN 'Update'
         ELSE 'Other'
       END AS activity,
       CASE
         WHEN eventName IN ('CreateUser', 'CreateRole') THEN 'user_created'
         WHEN eventName IN ('DeleteUser', 'DeleteRole') THEN 'user_deleted'
         WHEN eventName IN ('ChangePassword', 'PasswordUpdated') THEN 'password_changed'
         WHEN eventName IN ('CreateLoginProfile', 'UpdateLoginProfile') THEN 'password_reset'
         WHEN eventName = 'DeleteLoginProfile' THEN 'disabled'
         WHEN eventName = 'CreateAccessKey' THEN 'key_created'
         WHEN eventName = 'UpdateAccessKey' THEN
           CASE json_get_str(requestParameters, 'status') WHEN 'Active' THEN 'enabled' ELSE 'disabled' END
         WHEN eventName = 'DeleteAccessKey' THEN 'key_deleted'
         WHEN eventName = 'EnableMFADevice' THEN 'mfa_added'
         WHEN eventName IN ('DeactivateMFADevice', 'DeleteVirtualMFADevice') THEN 'mfa_removed'
         WHEN eventName LIKE 'Attach%Policy' OR eventName IN ('PutUserPolicy', 'PutRolePolicy', 'PutGroupPolicy', 'AddRoleToInstanceProfile') THEN 'role_assigned'
         WHEN eventName LIKE 'Detach%Policy' OR eventName IN ('DeleteUserPolicy', 'DeleteRolePolicy', 'DeleteGroupPolicy', 'RemoveRoleFromInstanceProfile') THEN 'role_revoked'
         WHEN eventName = 'AddUserToGroup' THEN 'member_added'
         WHEN eventName = 'RemoveUserFromGroup' THEN 'member_removed'
         WHEN eventName LIKE '%SAMLProvider' OR eventName LIKE '%OpenIDConnectProvider%' OR eventName LIKE '%TrustAnchor' THEN 'federation_changed'
         ELSE 'policy_changed'
       END AS change,
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
       eventName AS event_code,
       eventID AS native_uid,
       -- The account changed; calls such as CreateAccessKey without a user name act on the caller.
       coalesce(
         json_get_str(requestParameters, 'userName'),
         json_get_str(requestParameters, 'roleName'),
         json_get_str(responseElements, 'accessKey', 'userName'),
         CASE
           WHEN eventName IN ('CreateAccessKey', 'UpdateAccessKey', 'DeleteAccessKey', 'ChangePassword', 'PasswordUpdated')
           THEN CASE WHEN userIdentity.type = 'Root' THEN concat('root@', coalesce(userIdentity.accountId, recipientAccountId)) ELSE userIdentity.userName END
         END
       ) AS user_name,
       coalesce(
         json_get_str(responseElements, 'user', 'userId'),
         json_get_str(responseElements, 'role', 'roleId')
       ) AS user_uid,
       CASE
         WHEN json_get_str(requestParameters, 'roleName') IS NOT NULL THEN 'Role'
         WHEN json_get_str(requestParameters, 'userName') IS NOT NULL THEN 'IAMUser'
       END AS user_type,
       userIdentity.accountId AS user_domain,
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
       ) AS actor_user_name,
       coalesce(userIdentity.principalId, userIdentity.onBehalfOf.userId, userIdentity.arn) AS actor_user_uid,
       CASE WHEN sourceIPAddress NOT LIKE '%.amazonaws.com' AND sourceIPAddress <> 'AWS Internal' THEN sourceIPAddress END AS src_ip,
       CASE WHEN sourceIPAddress LIKE '%.amazonaws.com' OR sourceIPAddress = 'AWS Internal' THEN sourceIPAddress END AS src_hostname,
       userAgent AS user_agent,
       userIdentity.accessKeyId AS session_uid,
       userIdentity.sessionContext.attributes.mfaAuthenticated = 'true' AS session_is_mfa,
       json_get_str(requestParameters, 'groupName') AS target_group,
       coalesce(
         json_get_str(requestParameters, 'policyArn'),
         json_get_str(requestParameters, 'policyName')
       ) AS target_role,
       coalesce(
         json_get_str(requestParameters, 'sAMLProviderArn'),
         json_get_str(requestParameters, 'name'),
         json_get_str(requestParameters, 'url')
       ) AS target_app,
       -- The new policy or trust text, or the key's id: never a secret.
       coalesce(
         json_get_str(requestParameters, 'policyDocument'),
         json_get_str(requestParameters, 'assumeRolePolicyDocument'),
         json_get_str(responseElements, 'accessKey', 'accessKeyId')
       ) AS new_value,
       'AWS' AS cloud_provider,
       coalesce(recipientAccountId, userIdentity.accountId) AS cloud_account_uid,
       awsRegion AS cloud_region,
       userIdentity.type AS "unmapped.actor_type",
       userIdentity.arn AS "unmapped.actor_arn"
FROM aws_cloudtrail
/*--- tests
- name: an admin creates an access key for somebody else
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/adm","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE1","userName":"adm"},"eventTime":"2025-12-31T09:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2.15","requestParameters":{"userName":"bob"},"responseElements":{"accessKey":{"userName":"bob","accessKeyId":"AKIAEXAMPLE2","status":"Active"}},"eventID":"bbbbbbbb-0000-4000-8000-000000000001","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: identity_change, change: key_created, status: Success, user_name: bob, actor_user_name: adm, new_value: AKIAEXAMPLE2, src_ip: 203.0.113.9, cloud_account_uid: "111122223333"}
- name: a key made without a user name is the caller's own
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","userName":"ann"},"eventTime":"2025-12-31T09:01:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2.15","errorCode":"LimitExceededException","errorMessage":"Cannot exceed quota for AccessKeysPerUser: 2","requestParameters":null,"responseElements":null,"eventID":"bbbbbbbb-0000-4000-8000-000000000002","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: identity_change, change: key_created, status: Failure, user_name: ann, actor_user_name: ann}
- name: a policy attached to a role by a person signed in through the identity centre
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE1:ann@example.com","arn":"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_1a2b/ann@example.com","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE1","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1a2b","userName":"AWSReservedSSO_Admin_1a2b"},"attributes":{"creationDate":"2025-12-31T08:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2025-12-31T09:02:00Z","eventSource":"iam.amazonaws.com","eventName":"AttachRolePolicy","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"console.amazonaws.com","requestParameters":{"roleName":"app","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"},"responseElements":null,"eventID":"bbbbbbbb-0000-4000-8000-000000000003","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: identity_change, activity: Attach Policy, change: role_assigned, user_name: app, user_type: Role, actor_user_name: ann@example.com, target_role: "arn:aws:iam::aws:policy/AdministratorAccess", session_is_mfa: false}
- name: a user added to a group
  raw: '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE1","arn":"arn:aws:iam::111122223333:user/adm","accountId":"111122223333","userName":"adm"},"eventTime":"2025-12-31T09:03:00Z","eventSource":"iam.amazonaws.com","eventName":"AddUserToGroup","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2.15","requestParameters":{"groupName":"admins","userName":"bob"},"responseElements":null,"eventID":"bbbbbbbb-0000-4000-8000-000000000004","eventType":"AwsApiCall","recipientAccountId":"111122223333"}'
  expect:
    - {table: identity_change, class_uid: 3006, change: member_added, user_name: bob, target_group: admins}
- name: a record with nothing but its keys says nothing
  raw: '{"eventVersion":"1.08","eventSource":"iam.amazonaws.com","eventName":"CreateUser"}'
  expect:
    - {table: identity_change, status: Unknown, user_name: null, actor_user_name: null, actor_user_uid: null, src_ip: null}
---*/

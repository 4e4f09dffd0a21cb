//! CloudTrail: the leaked access key of a machine user at work, 90 minutes.
//!
//! The key is that of the IAM user `ci-deploy`, which otherwise calls only from 198.51.100.40 and
//! only in eu-west-1 and eu-central-1. The attacker calls from 192.0.2.77 with aws-cli.
//!
//! | minute | what |
//! |---|---|
//! | 25:00 | GetCallerIdentity in us-east-1 |
//! | 26:00-29:52 | 30 different calls, every 8 s, all AccessDenied |
//! | 33:00 | CreateUser `svc-sync` |
//! | 33:20 | CreateAccessKey for `svc-sync` |
//! | 33:45 | AttachUserPolicy AdministratorAccess to `svc-sync` |
//! | 34:10 | CreateLoginProfile for `svc-sync` |
//! | 36:00 | StopLogging of `org-trail` in eu-west-1 |
//! | 36:30 | DeleteTrail `org-trail` |
//! | 38:00-40:41 | GetSecretValue of 24 secrets in eu-west-1, every 7 s, with the new key of `svc-sync` |
//! | 44:00 | PutBucketPolicy: `example-backups` readable by everyone, by `svc-sync` |
//! | 48:00 | RunInstances of 8 p4d.24xlarge in us-west-2, by `svc-sync` |
//!
//! In the background about 1 in 500 calls is denied, each to a person, and applications read one
//! secret each.

use serde_json::{Value, json};

use super::Stage;
use crate::{
    cloudtrail::{self, Call, Principal},
    world::ACCOUNT,
};

const IP: &str = "192.0.2.77";
const AGENT: &str = "aws-cli/2.17.4 md/awscrt#0.20.11 ua/2.0 os/linux#6.8.11-kali2-amd64 md/arch#x86_64 lang/python#3.11.9 cfg/retry-mode#standard";
const HOME: &str = "eu-west-1";
const USER: &str = "svc-sync";

pub(super) fn play(stage: &mut Stage) {
    stage.background(cloudtrail::SOURCE, 3_000, &[]);
    let (leaked, _) = cloudtrail::machine_user("ci-deploy", 0);
    call(
        stage,
        25,
        0,
        &leaked,
        ("sts", "GetCallerIdentity", "us-east-1"),
        Value::Null,
        Value::Null,
    );

    let probes = [
        ("iam", "ListUsers"),
        ("iam", "ListRoles"),
        ("iam", "ListPolicies"),
        ("iam", "GetAccountAuthorizationDetails"),
        ("iam", "ListAccessKeys"),
        ("iam", "ListGroups"),
        ("iam", "GetAccountSummary"),
        ("iam", "ListMFADevices"),
        ("s3", "ListBuckets"),
        ("ec2", "DescribeInstances"),
        ("ec2", "DescribeVpcs"),
        ("ec2", "DescribeSecurityGroups"),
        ("ec2", "DescribeSnapshots"),
        ("ec2", "DescribeImages"),
        ("ec2", "DescribeKeyPairs"),
        ("rds", "DescribeDBInstances"),
        ("rds", "DescribeDBSnapshots"),
        ("lambda", "ListFunctions20150331"),
        ("dynamodb", "ListTables"),
        ("kms", "ListKeys"),
        ("kms", "ListAliases"),
        ("secretsmanager", "ListSecrets"),
        ("ssm", "DescribeParameters"),
        ("ecs", "ListClusters"),
        ("eks", "ListClusters"),
        ("organizations", "DescribeOrganization"),
        ("organizations", "ListAccounts"),
        ("cloudtrail", "DescribeTrails"),
        ("guardduty", "ListDetectors"),
        ("ses", "GetAccount"),
    ];
    for (n, (service, operation)) in probes.into_iter().enumerate() {
        let time = stage.at(26, n as i64 * 8);
        let error = format!(
            "User: arn:aws:iam::{ACCOUNT}:user/ci-deploy is not authorized to perform: {service}:{operation} because no identity-based policy allows the {service}:{operation} action"
        );
        let probe = Call {
            service,
            operation,
            region: HOME,
            ip: IP,
            agent: AGENT,
            request: Value::Null,
            response: Value::Null,
            error: Some(("AccessDenied", error)),
            resources: vec![],
        };
        let line = cloudtrail::line(&mut stage.random, time, &leaked, probe);
        stage.add(line);
    }

    let key = cloudtrail::key("AKIA", 900);
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/{USER}");
    let iam = |operation| ("iam", operation, "us-east-1");
    let id = format!("AIDA{}", key.chars().skip(4).collect::<String>());
    let made = json!({"user": {"path": "/", "arn": arn, "userName": USER, "userId": id}});
    call(stage, 33, 0, &leaked, iam("CreateUser"), json!({"userName": USER}), made);
    let made = json!({"accessKey": {"userName": USER, "status": "Active", "accessKeyId": key}});
    call(stage, 33, 20, &leaked, iam("CreateAccessKey"), json!({"userName": USER}), made);
    let policy =
        json!({"userName": USER, "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"});
    call(stage, 33, 45, &leaked, iam("AttachUserPolicy"), policy, Value::Null);
    let made = json!({"loginProfile": {"userName": USER, "passwordResetRequired": false}});
    let password = json!({"userName": USER, "passwordResetRequired": false});
    call(stage, 34, 10, &leaked, iam("CreateLoginProfile"), password, made);

    let trail = json!({"name": format!("arn:aws:cloudtrail:{HOME}:{ACCOUNT}:trail/org-trail")});
    call(stage, 36, 0, &leaked, ("cloudtrail", "StopLogging", HOME), trail.clone(), Value::Null);
    call(stage, 36, 30, &leaked, ("cloudtrail", "DeleteTrail", HOME), trail, Value::Null);

    let new = Principal::User { name: USER.to_owned(), key };
    for n in 0..24 {
        let name = format!("prod/{}/{}", ["db", "api", "mail", "pay"][n % 4], 1 + n / 4);
        let secret = json!({"secretId": format!("arn:aws:secretsmanager:{HOME}:{ACCOUNT}:secret:{name}-{:06x}", 0xa1b2c3 + n)});
        call(
            stage,
            38,
            n as i64 * 7,
            &new,
            ("secretsmanager", "GetSecretValue", HOME),
            secret,
            Value::Null,
        );
    }
    let public = json!({
        "bucketName": "example-backups",
        "Host": "example-backups.s3.eu-west-1.amazonaws.com",
        "policy": "",
        "bucketPolicy": {"Version": "2012-10-17", "Statement": [{
            "Sid": "sync", "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::example-backups", "arn:aws:s3:::example-backups/*"]}]},
    });
    call(stage, 44, 0, &new, ("s3", "PutBucketPolicy", HOME), public, Value::Null);
    let instances = json!({
        "instancesSet": {"items": [{"imageId": "ami-0123456789abcdef0", "minCount": 8, "maxCount": 8}]},
        "instanceType": "p4d.24xlarge",
        "monitoring": {"enabled": false},
    });
    call(stage, 48, 0, &new, ("ec2", "RunInstances", "us-west-2"), instances, Value::Null);
}

/// A call that succeeds.
fn call(
    stage: &mut Stage,
    minute: i64,
    second: i64,
    who: &Principal,
    (service, operation, region): (&str, &str, &str),
    request: Value,
    response: Value,
) {
    let time = stage.at(minute, second);
    let bucket =
        request["bucketName"].as_str().map(|b| ("AWS::S3::Bucket", format!("arn:aws:s3:::{b}")));
    let resources = bucket.into_iter().collect();
    let call = Call {
        service,
        operation,
        region,
        ip: IP,
        agent: AGENT,
        request,
        response,
        error: None,
        resources,
    };
    let line = cloudtrail::line(&mut stage.random, time, who, call);
    stage.add(line);
}

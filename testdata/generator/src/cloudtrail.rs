//! AWS CloudTrail: one record as JSON per line, or an envelope of records as S3 delivers them.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>

use serde_json::{Value, json};

use crate::{
    Line, Random, civil,
    world::{ACCOUNT, Person},
};

pub(crate) const SOURCE: &str = "aws.cloudtrail";

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    /// An IAM user with a long-lived key.
    User { name: String, key: String },
    /// A session of a role.
    Role { role: &'static str, session: String, key: String },
}

/// One call.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) region: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) request: Value,
    pub(crate) response: Value,
    pub(crate) error: Option<(&'a str, String)>,
    pub(crate) resources: Vec<(&'a str, String)>,
}

/// Records as S3 objects hold them: `{"Records":[..]}`. Takes lines of this source.
pub fn envelope<'a>(records: impl Iterator<Item = &'a Line>) -> String {
    let records: Vec<&str> = records.map(|l| l.text.as_str()).collect();
    format!("{{\"Records\":[{}]}}", records.join(","))
}

/// A key id that is always the same for its owner.
pub(crate) fn key(prefix: &str, number: u64) -> String {
    let mut random = Random::new(number, prefix);
    format!("{prefix}{}", random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))
}

/// One record. Times of CloudTrail are whole seconds.
pub(crate) fn line(random: &mut Random, time_ms: i64, who: &Principal, call: Call<'_>) -> Line {
    let time_ms = time_ms.div_euclid(1_000) * 1_000;
    let identity = match who {
        Principal::User { name, key } => json!({
            "type": "IAMUser",
            "principalId": format!("AIDA{}", key.chars().skip(4).collect::<String>()),
            "arn": format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
            "accountId": ACCOUNT,
            "accessKeyId": key,
            "userName": name,
        }),
        Principal::Role { role, session, key } => {
            // Only AWS makes roles below the path of Identity Center.
            let path = if role.starts_with("AWSReservedSSO_") {
                "aws-reserved/sso.amazonaws.com/"
            } else {
                ""
            };
            let mut identity = json!({
                "type": "AssumedRole",
                "principalId": format!("AROAEXAMPLE{:0>10}:{session}", role.len() * 7_919),
                "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"),
                "accountId": ACCOUNT,
                "accessKeyId": key,
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "principalId": format!("AROAEXAMPLE{:0>10}", role.len() * 7_919),
                        "arn": format!("arn:aws:iam::{ACCOUNT}:role/{path}{role}"),
                        "accountId": ACCOUNT,
                        "userName": role,
                    },
                    "attributes": {
                        "creationDate": civil(time_ms - 1_200_000).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
                        "mfaAuthenticated": "false",
                    },
                },
            });
            // How the metadata service of an instance hands out its role.
            if session.starts_with("i-") {
                identity["sessionContext"]["ec2RoleDelivery"] = "2.0".into();
            }
            identity
        }
    };
    let host = format!("{}.{}.amazonaws.com", call.service, call.region);
    let mut record = json!({
        "eventVersion": "1.10",
        "userIdentity": identity,
        "eventTime": civil(time_ms).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "eventSource": format!("{}.amazonaws.com", call.service),
        "eventName": call.operation,
        "awsRegion": call.region,
        "sourceIPAddress": call.ip,
        "userAgent": call.agent,
    });
    if let Some((code, message)) = &call.error {
        record["errorCode"] = (*code).into();
        record["errorMessage"] = message.as_str().into();
    }
    record["requestParameters"] = call.request;
    record["responseElements"] = call.response;
    record["requestID"] = random.uuid().into();
    record["eventID"] = random.uuid().into();
    let reads = ["Get", "List", "Describe", "Head", "Lookup", "Decrypt"];
    record["readOnly"] = reads.iter().any(|r| call.operation.starts_with(r)).into();
    if !call.resources.is_empty() {
        let resource =
            |(kind, arn): &(&str, String)| json!({"accountId": ACCOUNT, "type": kind, "ARN": arn});
        record["resources"] = call.resources.iter().map(resource).collect();
    }
    record["eventType"] = "AwsApiCall".into();
    record["managementEvent"] = true.into();
    record["recipientAccountId"] = ACCOUNT.into();
    record["eventCategory"] = "Management".into();
    record["tlsDetails"] = json!({"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256",
                                  "clientProvidedHostHeader": host});
    Line { source: SOURCE, time_ms, text: record.to_string() }
}

/// The machine user `name` and the address it always calls from.
pub(crate) fn machine_user(name: &str, number: u64) -> (Principal, String) {
    let who = Principal::User { name: name.to_owned(), key: key("AKIA", number) };
    (who, format!("198.51.100.{}", 40 + number % 60))
}

/// A call of an ordinary day: services reading and writing, people in the console.
pub(crate) fn benign(random: &mut Random, time_ms: i64, people: u64) -> Line {
    let machines = ["ci-deploy", "backup", "metrics", "terraform", "log-shipper"];
    let machine = random.below(machines.len() as u64);
    let region = *random.pick(&["eu-west-1", "eu-west-1", "eu-west-1", "eu-central-1"]);
    let (who, ip, agent) = match random.below(10) {
        0..=2 => {
            let (who, ip) = machine_user(machines[machine as usize], machine);
            (who, ip, "aws-sdk-go-v2/1.32.5 os/linux lang/go#1.23.3")
        }
        3..=7 => {
            let host = random.skewed(people * 4);
            let session = format!("i-{:017x}", 0x0a1b_2c3d_4e5fu64 + host * 7_919);
            let who = Principal::Role { role: "app-server", session, key: key("ASIA", host) };
            (
                who,
                format!("10.{}.{}.{}", 20 + host / 62_500, host / 250 % 250, 4 + host % 250),
                "Boto3/1.35.70 md/Botocore#1.35.70 os/linux#6.1 lang/python#3.12.7",
            )
        }
        _ => {
            let person = Person::new(random.skewed(people));
            let who = Principal::Role {
                role: "AWSReservedSSO_ReadOnly_0123456789abcdef",
                session: person.email.clone(),
                key: key("ASIA", 1_000_000 + person.index),
            };
            (
                who,
                person.ip,
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            )
        }
    };
    let bucket = format!("example-{}", random.pick(&["assets", "logs", "backups", "exports"]));
    let arn = format!("arn:aws:s3:::{bucket}");
    let reads_secret = random.below(100) == 0;
    let (service, operation, request, resources) = match random.below(8) {
        _ if reads_secret => {
            let secret =
                format!("arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:app/config-a1b2c3");
            ("secretsmanager", "GetSecretValue", json!({"secretId": secret}), vec![])
        }
        0 => ("ec2", "DescribeInstances", json!({"instancesSet": {}, "filterSet": {}}), vec![]),
        1 => ("sts", "GetCallerIdentity", Value::Null, vec![]),
        2 => (
            "s3",
            "GetBucketLocation",
            json!({"bucketName": bucket, "Host": "s3.amazonaws.com"}),
            vec![("AWS::S3::Bucket", arn)],
        ),
        3 => (
            "s3",
            "ListObjects",
            json!({"bucketName": bucket, "max-keys": "1000"}),
            vec![("AWS::S3::Bucket", arn)],
        ),
        4 => (
            "kms",
            "Decrypt",
            json!({"encryptionAlgorithm": "SYMMETRIC_DEFAULT"}),
            vec![(
                "AWS::KMS::Key",
                format!("arn:aws:kms:{region}:{ACCOUNT}:key/{}", Random::new(7, region).uuid()),
            )],
        ),
        5 => (
            "logs",
            "CreateLogStream",
            json!({"logGroupName": "/app/server", "logStreamName": random.hex(32)}),
            vec![],
        ),
        6 => {
            ("ecs", "DescribeTasks", json!({"cluster": "prod", "tasks": [random.hex(32)]}), vec![])
        }
        _ => ("autoscaling", "DescribeAutoScalingGroups", json!({"maxRecords": 100}), vec![]),
    };
    // A few calls of people lack a right; never enough of one person to look like probing.
    let denied = matches!(&who, Principal::Role { role, .. } if role.starts_with("AWSReserved"))
        && random.chance(1);
    let error = denied.then(|| {
        ("AccessDenied", format!("User is not authorized to perform: {service}:{operation} because no identity-based policy allows it"))
    });
    let call = Call {
        service,
        operation,
        region,
        ip: &ip,
        agent,
        request,
        response: Value::Null,
        error,
        resources,
    };
    line(random, time_ms, &who, call)
}

//! Kubernetes audit: one `audit.k8s.io/v1` Event as JSON per line, as the log backend writes them.
//! <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>

use serde_json::json;

use crate::{Line, Random, civil, world::Person};

pub(crate) const SOURCE: &str = "kubernetes.audit";

/// A request of an ordinary day: controllers watching and updating, people looking.
pub(crate) fn benign(random: &mut Random, time_ms: i64, people: u64) -> Line {
    let namespace = *random.pick(&["shop", "payments", "search", "monitoring", "kube-system"]);
    let (user, mut groups, ip, agent) = match random.below(10) {
        0..=3 => {
            let node = random.skewed(people);
            (
                format!("system:node:node-{node}"),
                vec!["system:nodes"],
                format!("10.40.{}.{}", node / 250 % 250, 4 + node % 250),
                "kubelet/v1.31.2 (linux/amd64) kubernetes/5864a46",
            )
        }
        4..=8 => {
            let account = *random.pick(&[
                "deployment-controller",
                "replicaset-controller",
                "endpoint-controller",
                "horizontal-pod-autoscaler",
            ]);
            (
                format!("system:serviceaccount:kube-system:{account}"),
                vec!["system:serviceaccounts", "system:serviceaccounts:kube-system"],
                "10.40.0.2".to_owned(),
                "kube-controller-manager/v1.31.2 (linux/amd64) kubernetes/5864a46",
            )
        }
        _ => {
            let person = Person::new(random.skewed(people));
            (
                person.email,
                vec!["developers"],
                person.ip,
                "kubectl/v1.31.2 (darwin/arm64) kubernetes/5864a46",
            )
        }
    };
    groups.push("system:authenticated");
    let controller = user.starts_with("system:");
    let verb = match controller {
        true => *random.pick(&["get", "list", "watch", "update", "patch", "create"]),
        false => *random.pick(&["get", "list", "watch"]),
    };
    let (group, version, resource) = *random.pick(&[
        ("", "v1", "pods"),
        ("", "v1", "configmaps"),
        ("", "v1", "endpoints"),
        ("apps", "v1", "deployments"),
        ("coordination.k8s.io", "v1", "leases"),
    ]);
    let name = format!("{namespace}-{}", random.text("bcdfghjklmnpqrstvwxz2456789", 5));
    let root =
        if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/{version}") };
    let whole = matches!(verb, "list" | "watch" | "create");
    let uri = match whole {
        true => format!("{root}/namespaces/{namespace}/{resource}?limit=500"),
        false => format!("{root}/namespaces/{namespace}/{resource}/{name}"),
    };
    let mut object = json!({"resource": resource, "namespace": namespace});
    if !whole {
        object["name"] = name.into();
    }
    if !group.is_empty() {
        object["apiGroup"] = group.into();
    }
    object["apiVersion"] = version.into();
    let code = match (verb, random.below(100)) {
        ("create", _) => 201,
        ("get", 0..=1) => 404,
        ("update", 0..=1) => 409,
        _ => 200,
    };
    let stamp =
        |ms: i64, micros: i64| format!("{}{micros:03}Z", civil(ms).format("%Y-%m-%dT%H:%M:%S%.3f"));
    let micros = random.range(0, 1_000);
    let record = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": random.uuid(),
        "stage": "ResponseComplete",
        "requestURI": uri,
        "verb": verb,
        "user": {"username": user, "uid": Random::new(1, &user).uuid(), "groups": groups},
        "sourceIPs": [ip],
        "userAgent": agent,
        "objectRef": object,
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": stamp(time_ms, micros),
        "stageTimestamp": stamp(time_ms + random.range(1, 40), micros),
        "annotations": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": if controller { "RBAC: allowed by ClusterRoleBinding \"system:controllers\"" } else { "RBAC: allowed by RoleBinding \"developers\"" },
        },
    });
    Line { source: SOURCE, time_ms, text: record.to_string() }
}

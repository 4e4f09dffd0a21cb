/*---
id: application.k8s_privileged_pod_created
title: Pod made that reaches its node
severity: high
status: stable
description: A pod was made with a privileged container, with the network, processes or IPC of its node, or with a folder of the node that opens it. Whoever runs in it runs on the node.
attack: [TA0004, T1611]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, k8s_namespace], for: 1h}
false_positives:
  - Agents for logs, storage and networks that a daemon set places on every node
blind_spots:
  - An audit policy that does not record the bodies of requests
runbook: Ask the user what the pod is for and look at its image. If it was not meant, delete it, and treat the node as taken.
references: ["https://attack.mitre.org/techniques/T1611/"]
---*/
SELECT time,
       user_entity,
       k8s_namespace,
       coalesce(resource_name, json_get_str(request, 'metadata', 'name'), json_get_str(request, 'metadata', 'generateName')) AS pod,
       json_list(request, 'spec', 'containers', '*', 'image') AS images,
       json_list(request, 'spec', 'volumes', '*', 'hostPath', 'path') AS node_folders,
       user_groups,
       src_ip,
       concat(user_entity, ' made a pod in ', k8s_namespace, ' that reaches its node') AS title
FROM api_activity
WHERE source = 'kubernetes.audit'
  AND resource_type = 'pods'
  AND k8s_verb = 'create'
  AND status = 'Success'
  -- lint: allow R033 a pod with more than the bound of a list is refused by the API server
  AND (json_any(request, 'spec', 'containers', '*', 'securityContext', 'privileged', v -> v = 'true')
    OR json_any(request, 'spec', 'initContainers', '*', 'securityContext', 'privileged', v -> v = 'true')
    OR json_get_bool(request, 'spec', 'hostPID')
    OR json_get_bool(request, 'spec', 'hostNetwork')
    OR json_get_bool(request, 'spec', 'hostIPC')
    OR json_any(request, 'spec', 'volumes', '*', 'hostPath', 'path',
                v -> v IN ('/', '/etc', '/root', '/proc', '/var/run/docker.sock', '/run/containerd/containerd.sock', '/var/lib/kubelet')))
  -- The control plane makes the pods that its controllers ask for; who asked has a record of its own.
  AND (user_name LIKE 'system:serviceaccount:kube-system:%' OR user_name LIKE 'system:node:%') IS NOT TRUE
/*--- tests
- name: a privileged container
  events:
    - &pod {t: +0s, table: api_activity, source: kubernetes.audit, resource_type: pods, k8s_verb: create, status: Success, user_name: ann, user_entity: ann, k8s_namespace: shop, user_groups: [developers], request: '{"metadata":{"name":"tools"},"spec":{"containers":[{"image":"a"},{"image":"b","securityContext":{"privileged":true}}]}}'}
  expect: [{user_entity: ann, pod: tools, images: [a, b], user_groups: [developers], title: ann made a pod in shop that reaches its node}]
- name: the processes of the node
  events: [{<<: *pod, request: '{"spec":{"hostPID":true,"containers":[{"image":"a"}]}}'}]
  expect: [{user_entity: ann}]
- name: the root of the node as a volume
  events: [{<<: *pod, request: '{"spec":{"containers":[{"image":"a"}],"volumes":[{"name":"t","emptyDir":{}},{"name":"r","hostPath":{"path":"/"}}]}}'}]
  expect: [{node_folders: [/]}]
- name: a plain pod is quiet
  events: [{<<: *pod, request: '{"spec":{"hostNetwork":false,"containers":[{"image":"a","securityContext":{"privileged":false}}],"volumes":[{"hostPath":{"path":"/var/log/app"}}]}}'}]
  expect: []
- name: a controller of the cluster is quiet
  events: [{<<: *pod, user_name: "system:serviceaccount:kube-system:daemon-set-controller"}]
  expect: []
- name: a refused pod is quiet
  events: [{<<: *pod, status: Failure}]
  expect: []
---*/

//! A real Envoy that asks the server about each request (ext_authz over HTTP), and a backend behind it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command},
};

use axum::Router;
use tokio::runtime::Runtime;

use crate::{Outcome, free_port, wait};

const CONFIG: &str = r#"
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: GATEWAY}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: gateway
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: backend}}]}
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              failure_mode_allow: false
              allowed_headers: {patterns: [{exact: x-user}]}
              http_service:
                server_uri: {uri: "http://127.0.0.1:SLUICE", cluster: sluice, timeout: 0.2s}
                path_prefix: /ext_authz
                authorization_request:
                  headers_to_add: [{key: authorization, value: "Bearer TOKEN"}]
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: backend
    load_assignment: {cluster_name: backend, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: BACKEND}}}}]}]}
  - name: sluice
    load_assignment: {cluster_name: sluice, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: SLUICE}}}}]}]}
"#;

/// A running Envoy; killed when dropped.
pub struct Envoy {
    child: Child,
    port: u16,
}

impl Envoy {
    pub fn start(
        program: &str,
        runtime: &Runtime,
        dir: &Path,
        (sluice, token): (u16, &str),
    ) -> Outcome<Envoy> {
        let (gateway, backend) = (free_port()?, free_port()?);
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", backend)))?;
        let anything = Router::new().fallback(|| async { "here" });
        runtime.spawn(async move { axum::serve(listener, anything).await });
        let config = CONFIG
            .replace("GATEWAY", &gateway.to_string())
            .replace("BACKEND", &backend.to_string())
            .replace("SLUICE", &sluice.to_string())
            .replace("TOKEN", token);
        let path = dir.join("envoy.yaml");
        fs::write(&path, config)?;
        let log = File::create(dir.join("envoy.log"))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&path).args(["--base-id", &gateway.to_string()]);
        let child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let envoy = Envoy { child, port: gateway };
        wait("answer of Envoy", || Ok(envoy.ask("nobody@example.com")?.0 == 200))?;
        Ok(envoy)
    }

    /// Waits until a user is answered with a status, and with a level where it is a denial.
    pub fn answers(&self, user: &str, status: u16, level: &str) -> Outcome<()> {
        let what = format!("answer of Envoy: {status} to {user}");
        wait(&what, || Ok(self.ask(user)? == (status, level.to_owned())))
    }

    /// The status of a request of a user, and the level that a denial names.
    fn ask(&self, user: &str) -> Outcome<(u16, String)> {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let request = agent.get(format!("http://127.0.0.1:{}/app?x=1", self.port));
        let answer = request.header("x-user", user).call()?;
        let level = answer.headers().get("x-risk-level").and_then(|v| v.to_str().ok());
        Ok((answer.status().as_u16(), level.unwrap_or_default().to_owned()))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

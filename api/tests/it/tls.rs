//! HTTPS of the server itself: who is served, other certificates while it runs, client certificates.
//! Certificates are made by openssl.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::support::{REFUSED, Scratch, rule, sluice};

/// Whether openssl and curl are there.
fn tools() -> bool {
    for (tool, version) in [("openssl", "version"), ("curl", "-V")] {
        let mut command = Command::new(tool);
        command.arg(version).stdout(Stdio::null()).stderr(Stdio::null());
        if command.status().is_err() {
            sluice_harness::lacks(&format!("{tool} is not installed"));
            return false;
        }
    }
    true
}

/// Makes a key and a certificate of it that signs itself.
fn certificate(scratch: &Scratch, name: &str, subject: &str) {
    let (key, cert) = (scratch.path(&format!("{name}.key")), scratch.path(&format!("{name}.crt")));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", &format!("/CN={subject}")])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        // It is its own issuer and no authority: a server takes none from a client.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &cert])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    assert!(Command::new("chmod").args(["600", &key]).status().unwrap().success());
}

fn curl(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new("curl").args(["-sS", "-v", "-m", "10"]).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(config: &str) -> (Server, String) {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["run", "--config", config])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = lines.find_map(|l| l.unwrap().strip_prefix("listening on ").map(str::to_owned));
    thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (Server(child), url.unwrap())
}

fn config(scratch: &Scratch, more: &str) -> String {
    scratch.write("rules/one.sql", rule("one", REFUSED));
    let text = format!(
        "data_dir = \"{}\"\nrules = [\"{}\"]\n[sources.push]\nmapping = \"okta.system\"\nhttp = {{}}\n\
         [api]\nlisten = \"127.0.0.1:0\"\n[api.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{more}\n",
        scratch.path("data"),
        scratch.path("rules"),
        scratch.path("server.crt"),
        scratch.path("server.key"),
    );
    scratch.write("sluice.toml", text)
}

#[test]
fn it_serves_https_and_takes_another_certificate_while_it_runs() {
    if !tools() {
        return;
    }
    let scratch = Scratch::new();
    certificate(&scratch, "server", "first");
    let config = config(&scratch, "");
    sluice(&["config", "check", "--config", &config]).exits(0);
    let (_server, url) = start(&config);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let health = format!("{url}/healthz");
    let (served, text) = curl(&["--cacert", &scratch.path("server.crt"), &health]);
    assert!(served && text.contains("alive"), "{text}");
    assert!(text.to_lowercase().contains("strict-transport-security"), "{text}");
    // Plain HTTP on that port is no request.
    let (served, _) = curl(&[&health.replace("https:", "http:")]);
    assert!(!served);
    certificate(&scratch, "server", "second");
    let mut text = String::new();
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(100));
        text = curl(&["-k", &health]).1;
        if text.contains("CN=second") {
            break;
        }
    }
    assert!(text.contains("CN=second"), "{text}");
    // One that cannot be used changes nothing.
    std::fs::write(scratch.path("server.crt"), "nothing").unwrap();
    thread::sleep(Duration::from_millis(1_500));
    let (served, text) = curl(&["-k", &health]);
    assert!(served && text.contains("CN=second"), "{text}");
}

#[test]
fn clients_may_need_a_certificate_too() {
    if !tools() {
        return;
    }
    let scratch = Scratch::new();
    certificate(&scratch, "server", "server");
    certificate(&scratch, "client", "client");
    let more = format!("client_ca = \"{}\"", scratch.path("client.crt"));
    let (_server, url) = start(&config(&scratch, &more));
    let health = format!("{url}/healthz");
    let (served, _) = curl(&["-k", &health]);
    assert!(!served);
    let (cert, key) = (scratch.path("client.crt"), scratch.path("client.key"));
    let (served, text) = curl(&["-k", "--cert", &cert, "--key", &key, &health]);
    assert!(served && text.contains("alive"), "{text}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    if !tools() {
        return;
    }
    let scratch = Scratch::new();
    certificate(&scratch, "server", "server");
    let config = config(&scratch, "");
    let check = |needle: &str| {
        sluice(&["config", "check", "--config", &config]).exits(3).says(&[needle]);
    };
    let key = scratch.path("server.key");
    assert!(Command::new("chmod").args(["644", &key]).status().unwrap().success());
    check("everybody on this machine can read the key");
    std::fs::remove_file(&key).unwrap();
    check("server.key");
    certificate(&scratch, "other", "other");
    std::fs::copy(scratch.path("other.key"), Path::new(&key)).unwrap();
    assert!(Command::new("chmod").args(["600", &key]).status().unwrap().success());
    check("cannot be used");
    std::fs::write(scratch.path("server.crt"), "nothing").unwrap();
    check("no certificate");
}

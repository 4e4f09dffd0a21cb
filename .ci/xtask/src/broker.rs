//! A Kafka broker for tests and for developing: `.ci/kafka/kafka.sh` with a folder of its own. Not
//! its settings, which are in that script.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{self, Command, ExitCode},
};

use crate::install::has;

/// A broker that ends with this.
pub(crate) struct Broker {
    dir: PathBuf,
    plain: String,
    sasl: String,
}

/// Starts a broker in a temporary folder.
///
/// # Errors
/// Why there is none.
pub(crate) fn for_tests() -> Result<Broker, String> {
    let dir = env::temp_dir().join(format!("sluice-kafka-{}", process::id()));
    let of_handler = dir.clone();
    // Cargo and the tests get the signal themselves.
    let handled = ctrlc::set_handler(move || {
        end(&of_handler);
        process::exit(130);
    });
    if let Err(error) = handled {
        println!("== kafka: an interrupt will leave the broker running: {error}");
    }
    let mut broker = Broker { dir, plain: String::new(), sasl: String::new() };
    (broker.plain, broker.sasl) = start(&broker.dir)?;
    println!("== kafka: {}", broker.plain);
    Ok(broker)
}

impl Broker {
    /// Where tests find it: the listener, the one with a password, and its folder, for `kafka.sh`.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 3] {
        [
            ("SLUICE_TEST_KAFKA", &self.plain),
            ("SLUICE_TEST_KAFKA_SASL", &self.sasl),
            ("SLUICE_TEST_KAFKA_DIR", self.dir.to_str().unwrap_or_default()),
        ]
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        end(&self.dir);
    }
}

/// `cargo xtask kafka start|stop`.
pub(crate) fn develop(verb: &str) -> ExitCode {
    let dir = cache().join("develop");
    let done = match verb {
        "start" => start(&dir).map(|(plain, sasl)| {
            println!("SLUICE_TEST_KAFKA={plain}");
            println!("SLUICE_TEST_KAFKA_SASL={sasl}");
            println!("SLUICE_TEST_KAFKA_DIR={}", dir.display());
        }),
        _ => script("stop", &dir).map(drop),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Starts a broker in a folder: its listener, and the one with a password.
fn start(dir: &Path) -> Result<(String, String), String> {
    for program in ["java", "mvn"] {
        if !has(program) {
            return Err(format!(
                "`{program}` is missing; Debian: apt-get install default-jre-headless maven"
            ));
        }
    }
    let jars = cache();
    script("fetch", &jars)?;
    prepare(dir, &jars.join("libs")).map_err(|error| format!("{}: {error}", dir.display()))?;
    let said = script("start", dir)?;
    let value = |key: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(str::to_owned).ok_or_else(|| format!("kafka.sh does not say {key}"))
    };
    Ok((value("BOOTSTRAP")?, value("BOOTSTRAP_SASL")?))
}

/// The jars are shared; everything else of a broker is its own.
fn prepare(dir: &Path, jars: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let link = dir.join("libs");
    if !link.try_exists()? {
        std::os::unix::fs::symlink(jars, link)?;
    }
    Ok(())
}

/// Stops a broker and removes its folder; the shared jars stay.
fn end(dir: &Path) {
    if let Err(reason) = script("stop", dir) {
        eprintln!("{reason}");
    }
    // An interrupt may have been faster.
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        eprintln!("{}: {error}", dir.display());
    }
}

/// Runs `kafka.sh VERB DIR`: what it prints.
fn script(verb: &str, dir: &Path) -> Result<String, String> {
    let path = crate::workspace().join(".ci/kafka/kafka.sh");
    let run = Command::new("bash").arg(path).arg(verb).arg(dir).output();
    let output = run.map_err(|error| format!("cannot run bash: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("kafka.sh {verb} failed: {}", said.trim()))
    }
}

/// Where the jars are kept between runs.
fn cache() -> PathBuf {
    crate::cache().join("kafka")
}

//! The servers of the tests and the variables by which clients reach them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What `services.sh env` prints: `KAFKA_BOOTSTRAP`, `AWS_…`, `MINIO_…`, `POSTGRES_…`, `PYTHON`.
pub(crate) struct Parts(BTreeMap<String, String>);

/// The parts, all of them answering. The first call starts those that do not run.
pub(crate) fn parts() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| {
        services("up");
        let environment = services("env");
        let lines = String::from_utf8(environment.stdout).unwrap();
        let pairs = lines.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        Parts(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    })
}

/// The checkout.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Parts {
    /// One variable.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("services.sh env does not name {name}"))
    }

    /// Address of the broker.
    pub(crate) fn brokers(&self) -> &str {
        self.get("KAFKA_BOOTSTRAP")
    }

    /// How the S3 store is reached, with the rights that `minio/policy.json` gives and no others.
    pub(crate) fn s3(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(name, _)| name.starts_with("AWS_"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn services(command: &str) -> Output {
    let script = root().join("tests/services/services.sh");
    let output = Command::new(&script).arg(command).output().expect("the tests need bash for services.sh");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {command} failed:\n{said}", script.display());
    output
}

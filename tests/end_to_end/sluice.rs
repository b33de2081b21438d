//! A lake of one test, and runs of the binary on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::parts::parts;

/// No command of the tests takes this long; one that hangs is ended and the test fails.
const SECONDS_MAX: &str = "600";

/// A folder with a catalog, and tables beside it or on S3. Both are gone when the test ends well.
pub(crate) struct Lake {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

/// What a finished command left.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

/// A command that is running.
pub(crate) struct Started {
    pub(crate) process: Child,
    command: String,
}

impl Lake {
    /// Tables in the folder. Kafka is known to it, S3 is not.
    pub(crate) fn on_disk() -> Self {
        let dir = tempfile::Builder::new().prefix("sluice-test-").tempdir().unwrap();
        Self { dir, environment: Vec::new() }
    }

    /// Tables in a folder of their own in the bucket, reached with the rights of the Sluice user.
    pub(crate) fn on_s3() -> Self {
        let lake = Self::on_disk();
        let prefix = lake.dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        let warehouse = format!("s3://{}/{}-{prefix}", parts().get("MINIO_BUCKET"), std::process::id());
        let s3 = parts().s3().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>();
        s3.into_iter()
            .fold(lake, |lake, (name, value)| lake.with(&name, &value))
            .with("SLUICE_LAKE_WAREHOUSE", &warehouse)
    }

    /// The same lake with one variable set.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same lake with the tests' broker.
    pub(crate) fn with_kafka(self) -> Self {
        self.with("SLUICE_KAFKA_BROKERS", parts().brokers())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The catalog as `exactly_once.py` takes it: the folder, or the address and the name of a database.
    pub(crate) fn foreign_catalog(&self) -> String {
        let variable =
            |name: &str| self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        match (variable("SLUICE_LAKE_CATALOG"), variable("SLUICE_LAKE_NAME")) {
            (Some(url), Some(name)) => {
                format!("{}#{name}", url.replace("postgresql://", "postgresql+psycopg2://"))
            }
            _ => self.dir().to_str().unwrap().to_owned(),
        }
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        // `timeout` ends a command that hangs, so that the test names it instead of hanging too
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", SECONDS_MAX, env!("CARGO_BIN_EXE_sluice")]);
        let output = self.prepared(command, arguments).output().expect("the tests need coreutils' timeout");
        Run {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: format!("sluice {}", arguments.join(" ")),
        }
    }

    /// Runs the binary, which must succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert!(run.status.success(), "{run}");
        run
    }

    /// Starts the binary and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Started {
        self.start_with(arguments, &[])
    }

    /// As [`Lake::start`], with other values of some variables.
    pub(crate) fn start_with(&self, arguments: &[&str], variables: &[(&str, String)]) -> Started {
        let command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let mut command = self.prepared(command, arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Started { process, command: format!("sluice {}", arguments.join(" ")) }
    }

    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("SLUICE_") || name.starts_with("AWS_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("SLUICE_DATA", self.dir())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir())
            .stdin(Stdio::null());
        command
    }
}

impl Started {
    /// SIGTERM, as a supervisor sends it; waits for the end, which must be a success.
    pub(crate) fn stop(self) -> Run {
        let sent = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(sent.success(), "`{}` had ended by itself", self.command);
        let output = self.process.wait_with_output().unwrap();
        let run = Run {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: self.command,
        };
        assert!(run.status.success(), "{run}");
        run
    }

    /// SIGKILL. The process must still have been there: one that ended by itself had an error.
    pub(crate) fn kill(mut self) {
        let ended = self.process.try_wait().unwrap();
        self.process.kill().unwrap();
        let output = self.process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(ended, None, "`{}` ended before it was killed:\n{said}", self.command);
    }
}

impl Run {
    /// Standard output as one JSON value per line.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|cause| panic!("{cause} in {line}\n{self}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The JSON object on the last line.
    pub(crate) fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|cause| panic!("no JSON object on the last line: {cause}\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}`: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.status, self.stdout, self.stderr
        )
    }
}

/// A name that no other test and no earlier run used, for topics.
pub(crate) fn unique(name: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", std::process::id())
}

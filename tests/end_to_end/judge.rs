//! The judges: scripts in `tests/clients` that read what Sluice wrote with other people's code.

use std::process::Command;

use serde_json::Value;

use crate::parts::{parts, root};
use crate::sluice::Lake;

/// What the judge of exactly-once found.
#[derive(Debug)]
pub(crate) struct Landing(Value);

impl Landing {
    /// A figure of the verdict: `records`, `landed`, `dead_letters`, `lost`, `doubled`, `foreign`.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {}", self.0))
    }

    /// Rows of one table.
    pub(crate) fn rows(&self, table: &str) -> u64 {
        self.0["rows"][table].as_u64().unwrap_or_else(|| panic!("no table `{table}` in {}", self.0))
    }
}

/// PyIceberg counts each record that the broker holds in `topics` exactly once in the lake.
pub(crate) fn exactly_once(lake: &Lake, topics: &[&str]) -> Landing {
    let catalog = lake.foreign_catalog();
    let mut arguments = vec![catalog.as_str(), parts().brokers()];
    arguments.extend(topics);
    let said = judge("exactly_once.py", lake, &arguments);
    let verdict = Landing(serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap());
    assert_eq!(verdict.get("records"), verdict.get("landed") + verdict.get("dead_letters"), "{verdict:?}");
    verdict
}

/// PyIceberg, DuckDB and `sluice sql` agree on every table.
pub(crate) fn same_rows(lake: &Lake) {
    judge("same_rows.py", lake, &[env!("CARGO_BIN_EXE_sluice"), lake.dir().to_str().unwrap()]);
}

/// Runs a judge, which must find nothing wrong; gives what it printed.
pub(crate) fn judge(script: &str, lake: &Lake, arguments: &[&str]) -> String {
    let run = Command::new(parts().get("PYTHON"))
        .arg(root().join("tests/clients").join(script))
        .args(arguments)
        .envs(lake.environment().iter().map(|(name, value)| (name, value)))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{script} {}: {}\n{said}\n{complained}", arguments.join(" "), run.status);
    said.into_owned()
}

#[test]
fn the_judge_of_exactly_once_can_fail() {
    let lake = Lake::on_disk();
    let folder = lake.dir().join("judged");
    judge("exactly_once_can_fail.py", &lake, &[folder.to_str().unwrap(), parts().brokers()]);
}

//! A Python program of `tests/clients` between the binary and a server: its first line is its address, every later
//! one a JSON value that says what it did.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use crate::parts::{parts, root};

/// The program, ended with the test.
pub(crate) struct Between {
    process: Child,
    /// Where clients reach it.
    pub(crate) address: String,
    said: Arc<Mutex<Vec<Value>>>,
}

impl Between {
    /// Starts `tests/clients/SCRIPT` in front of `server`, and waits for its address.
    pub(crate) fn start(script: &str, server: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(parts().get("PYTHON"));
        command.arg(root().join("tests/clients").join(script)).arg(server).stdout(Stdio::piped());
        prepare(&mut command);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.next().unwrap_or_else(|| panic!("{script} ended without naming its address"));
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                saying.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, address: address.unwrap(), said }
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> MutexGuard<'_, Vec<Value>> {
        self.said.lock().unwrap()
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

//! A wire that loses messages between the workers and a server: `tests/clients/lossy.py`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Arguments;
use crate::ingest::Failure;

pub(super) struct Wire {
    pub(super) address: String,
    process: Child,
    orders: Mutex<ChildStdin>,
    faults: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    pub(super) fn start(
        arguments: &Arguments,
        server: &str,
        only: &str,
        [lose, cut]: [f64; 2],
        seed: u64,
    ) -> Result<Self, Failure> {
        let mut process = Command::new(&arguments.python)
            .arg(arguments.clients.join("lossy.py"))
            .args([server, "--only", only, "--seed", &seed.to_string()])
            .args(["--lose", &lose.to_string(), "--cut", &cut.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().ok_or("the wire has no input")?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("the wire has no output")?).lines();
        let address = lines.next().ok_or("the wire ended without naming its address")??;
        let faults = Arc::new(Mutex::new(Vec::new()));
        let noting = Arc::clone(&faults);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let fault = serde_json::from_str::<Value>(&line).ok();
                let fault = fault.and_then(|line| Some(line["fault"].as_str()?.to_owned()));
                noting.lock().unwrap_or_else(PoisonError::into_inner).extend(fault);
            }
        });
        Ok(Self { address, process, orders: Mutex::new(orders), faults })
    }

    /// Nobody is let through for so many seconds.
    pub(super) fn down(&self, seconds: u64) -> Result<&'static str, Failure> {
        self.order(&format!("down {seconds}"))?;
        Ok("outage")
    }

    /// Nothing is lost any more.
    pub(super) fn calm(&self) -> Result<(), Failure> {
        self.order("calm")
    }

    /// How often this happened.
    pub(super) fn count(&self, fault: &str) -> u64 {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().filter(|known| *known == fault).count() as u64
    }

    fn order(&self, line: &str) -> Result<(), Failure> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(orders, "{line}")?)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // It may have ended with its input.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

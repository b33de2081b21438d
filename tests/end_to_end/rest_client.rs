//! Sluice on REST catalogs of other talents than its own: a proxy takes away transactions, or hands out keys.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::clients::Server;
use crate::parts::{parts, root};
use crate::places::twin;
use crate::sluice::Lake;

/// `tests/clients/rest_proxy.py` in front of a server, ended with the test.
pub(crate) struct Proxy {
    process: Child,
    pub(crate) uri: String,
    said: Arc<Mutex<Vec<Value>>>,
    _server: Server,
}

impl Proxy {
    pub(crate) fn start(lake: &Lake, talents: &[&str]) -> Self {
        let server = Server::start(twin(lake));
        let mut process = Command::new(parts().get("PYTHON"))
            .arg(root().join("tests/clients/rest_proxy.py"))
            .arg(format!("http://{}/iceberg", server.http))
            .args(talents)
            .envs(
                ["MINIO_ENDPOINT", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"].map(|it| (it, parts().get(it))),
            )
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let uri = lines.next().expect("the proxy ended without naming its address").unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                saying.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, uri, said, _server: server }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn a_lake_without_keys_uses_those_that_the_catalog_hands_out() {
    let lake = Lake::on_s3();
    // They are said to end so soon that a statement which takes longer has to renew them.
    let proxy = Proxy::start(&lake, &["--vend", "0.2"]);
    let warehouse = lake.environment().iter().find(|(name, _)| name == "SLUICE_LAKE_WAREHOUSE").unwrap();
    let keyless =
        Lake::on_disk().with("SLUICE_LAKE_CATALOG", &proxy.uri).with("SLUICE_LAKE_WAREHOUSE", &warehouse.1);
    keyless.succeed(&["sql", "create table bronze.one as select 1 as id union all select 2"]);
    keyless.succeed(&["sql", "create table bronze.many (id bigint, name varchar)"]);
    let many = "insert into bronze.many select value as id, cast(value as varchar) as name \
                from generate_series(1, 1500000)";
    keyless.succeed(&["sql", many]);
    keyless.succeed(&["sql", "delete from bronze.one where id = 1"]);
    keyless.succeed(&["maintain", "bronze.one"]);
    let both = "select (select sum(id) from bronze.one) as one, (select count(*) from bronze.many) as many";
    let expected = serde_json::json!({"one": 2, "many": 1_500_000});
    assert_eq!(keyless.succeed(&["sql", both, "--json"]).json(), expected);
    assert_eq!(lake.succeed(&["sql", both, "--json"]).json(), expected, "what another with keys reads");
    let said = proxy.said.lock().unwrap();
    assert!(said.iter().any(|keys| keys["renews"] == true), "nothing was renewed: {said:?}");
}

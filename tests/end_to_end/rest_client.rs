//! Sluice on REST catalogs of other talents than its own: a proxy takes away transactions, or hands out keys.

use crate::between::Between;
use crate::clients::Server;
use crate::parts::parts;
use crate::places::twin;
use crate::sluice::Lake;

/// `tests/clients/rest_proxy.py` in front of a server of the lake.
pub(crate) struct Proxy {
    // Ends first: what it still passes on needs the server.
    between: Between,
    _server: Server,
}

impl Proxy {
    pub(crate) fn start(lake: &Lake, talents: &[&str]) -> Self {
        let server = Server::start(twin(lake));
        let minio = ["MINIO_ENDPOINT", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"];
        let between =
            Between::start("rest_proxy.py", &format!("http://{}/iceberg", server.http), |program| {
                program.args(talents).envs(minio.map(|name| (name, parts().get(name))));
            });
        Self { between, _server: server }
    }

    /// Where clients reach it.
    pub(crate) fn uri(&self) -> &str {
        &self.between.address
    }
}

#[test]
fn a_lake_without_keys_uses_those_that_the_catalog_hands_out() {
    let lake = Lake::on_s3();
    // They are said to end so soon that a statement which takes longer has to renew them.
    let proxy = Proxy::start(&lake, &["--vend", "0.2"]);
    let warehouse = lake.environment().iter().find(|(name, _)| name == "SLUICE_LAKE_WAREHOUSE").unwrap();
    let keyless =
        Lake::on_disk().with("SLUICE_LAKE_CATALOG", proxy.uri()).with("SLUICE_LAKE_WAREHOUSE", &warehouse.1);
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
    let said = proxy.between.said();
    assert!(said.iter().any(|keys| keys["renews"] == true), "nothing was renewed: {said:?}");
}

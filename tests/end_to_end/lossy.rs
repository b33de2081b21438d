//! `tests/clients/lossy.py` between the binary and its servers: replies are lost after the server did what it was
//! asked, and every record lands once all the same.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::between::Between;
use crate::judge::exactly_once;
use crate::parts::parts;
use crate::places::on_postgres;
use crate::sluice::Lake;
use crate::workers::{Crew, Stream};

/// How many replies to commits are lost.
const LOST: usize = 50;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// A wire that loses messages.
struct Lossy(Between);

impl Lossy {
    fn start(server: &str, arguments: &[&str]) -> Self {
        Self(Between::start("lossy.py", server, |program| {
            program.args(arguments).stdin(Stdio::piped());
        }))
    }

    /// How often this happened.
    fn count(&self, fault: &str) -> usize {
        self.0.said().iter().filter(|line| line["fault"] == fault).count()
    }
}

/// Of five commits four hear nothing of the database that made them, and a fiftieth of what is stored is stored
/// unheard.
#[test]
fn fifty_lost_replies_lose_and_double_nothing() {
    let (lake, _) = on_postgres(Lake::on_s3().with_kafka());
    let stream = Stream::new(&lake, "unheard");
    let (user, place) = parts().get("POSTGRES_URL").split_once('@').unwrap();
    let (address, database) = place.split_once('/').unwrap();
    let catalog = Lossy::start(address, &["--lose", "0.8", "--only", "COMMIT", "--seed", "7"]);
    let server = parts().get("AWS_ENDPOINT_URL").trim_start_matches("http://");
    let store = Lossy::start(server, &["--lose", "0.02", "--only", "PUT /", "--seed", "8"]);
    let variables = [
        ("SLUICE_LAKE_CATALOG", format!("{user}@{}/{database}?sslmode=disable", catalog.0.address)),
        ("AWS_ENDPOINT_URL", format!("http://{}", store.0.address)),
    ];

    let mut events = stream.send(PATIENCE.as_secs());
    let mut crew = Crew::new(&lake, &stream);
    crew.start(0, "100ms", &variables);
    let began = Instant::now();
    while catalog.count("reply lost") < LOST {
        assert!(began.elapsed() < PATIENCE, "only {} replies were lost", catalog.count("reply lost"));
        crew.must_run(0);
        sleep(Duration::from_millis(100));
    }
    crew.stop_all();
    events.kill().unwrap();
    events.wait().unwrap();
    stream.catch_up(&lake);
    let landing = exactly_once(&lake, &[&stream.topic]);
    println!(
        "{} replies of the catalog and {} of the store lost; {} records, {} commits, {landing:?}",
        catalog.count("reply lost"),
        store.count("reply lost"),
        landing.get("records"),
        crew.said("committed"),
    );
    assert!(crew.said("the catalog did not say whether a commit landed") >= LOST, "not all were noticed");
}

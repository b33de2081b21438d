//! A Tansu broker on a free loopback port; it ends with the value that holds it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tansu_broker::coordinator::group::administrator::Controller;
use tansu_storage::StorageContainer;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::edge;
use crate::failure::Failure;

type Tansu = tansu_broker::broker::Broker<Controller<StorageContainer>, StorageContainer>;

/// How long the broker may take to accept its first connection.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running broker.
#[derive(Debug)]
pub(crate) struct Broker {
    port: u16,
    task: JoinHandle<()>,
}

impl Broker {
    /// Starts the broker and returns once it accepts connections.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let port = free_port()?;
        let address = Url::parse(&format!("tcp://127.0.0.1:{port}"))?;
        // Each run of the demo is a cluster of its own.
        let cluster = edge::new_id();
        let mut broker = Tansu::builder()
            .node_id(1)
            .cluster_id(format!("sluice-demo-{cluster}"))
            .incarnation_id(cluster)
            .advertised_listener(address.clone())
            .listener(address)
            .storage(Url::parse("memory://sluice-demo/")?)
            .silent(true)
            .build()
            .await
            .map_err(|cause| Failure::new(format!("the embedded broker did not start: {cause}")))?;
        let task = tokio::spawn(async move {
            if let Err(cause) = broker.serve(Instant::now()).await {
                tracing::error!(%cause, "the embedded broker ended");
            }
        });
        let broker = Self { port, task };
        broker.wait_until_it_accepts().await?;
        Ok(broker)
    }

    /// `127.0.0.1:PORT`, for Kafka clients.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn wait_until_it_accepts(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            if self.task.is_finished() || Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "the embedded broker does not answer on {}",
                    self.address()
                ))
                .hint("run again with -v to see why"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

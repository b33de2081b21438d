//! `sluice serve`: BI tools connect over Flight SQL; people and probes over HTTP.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use sluice_query::{ServeSettings, Server};

use crate::config::Config;
use crate::failure::Failure;
use crate::{parts, stop};

const EXAMPLES: &str = "\
Examples:
  sluice serve
  sluice serve --flight 127.0.0.1:50051 --http 127.0.0.1:8080 --data ./sluice-data

Connect (JDBC): jdbc:arrow-flight-sql://127.0.0.1:50051/?useEncryption=false
Connect (ADBC): adbc_driver_flightsql.dbapi.connect(\"grpc://127.0.0.1:50051\")";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Address of Flight SQL [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    flight: Option<SocketAddr>,
    /// Address of HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
}

impl ServeArgs {
    /// Puts the flags over the configuration.
    pub(crate) fn override_config(&self, config: &mut Config) {
        config.serve.flight = self.flight.unwrap_or(config.serve.flight);
        config.serve.http = self.http.unwrap_or(config.serve.http);
    }
}

pub(crate) async fn run(args: ServeArgs, mut config: Config) -> Result<ExitCode, Failure> {
    args.override_config(&mut config);
    let stop = stop::on_signal()?;
    let server = Server::bind(parts::engine(&config).await?, settings(&config)?).await?;
    announce(&server);
    server.run(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// The addresses of the configuration, and who may use the Iceberg catalog.
pub(crate) fn settings(config: &Config) -> Result<ServeSettings, Failure> {
    Ok(ServeSettings {
        flight: config.serve.flight,
        http: config.serve.http,
        writes: config.serve.allow_writes.then(parts::writes),
        iceberg: config.iceberg_settings()?,
        ..ServeSettings::default()
    })
}

/// Says where the server listens.
pub(crate) fn announce(server: &Server) {
    eprintln!("Flight SQL  grpc://{}", server.flight_addr());
    eprintln!("HTTP        http://{}", server.http_addr());
    eprintln!("Iceberg     http://{}/iceberg", server.http_addr());
}

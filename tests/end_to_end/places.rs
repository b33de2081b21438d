//! A lake behind each kind of catalog: as runs of the binary, the crate, and the judges reach it.

use sluice_catalog::{CatalogSettings, LakeSettings, PostgresSettings, RestSettings, Secret};

use crate::clients::Server;
use crate::parts::parts;
use crate::sluice::{Lake, unique};

/// A lake on disk, and its catalog.
pub(crate) struct Place {
    /// For runs of the binary.
    pub(crate) lake: Lake,
    catalog: CatalogSettings,
    /// The name under which a SQL catalog records tables.
    name: String,
    /// How PyIceberg reaches it: kind and address.
    kind: &'static str,
    uri: String,
    _server: Option<Server>,
}

impl Place {
    /// In a file.
    pub(crate) fn on_sqlite() -> Self {
        let lake = Lake::on_disk();
        let path = lake.dir().join("catalog.db");
        let uri = format!("sqlite:///{}", path.display());
        let catalog = CatalogSettings::Sqlite { path };
        Self { lake, catalog, name: "sluice".to_owned(), kind: "sql", uri, _server: None }
    }

    /// In a database, under a name of its own.
    pub(crate) fn on_postgresql() -> Self {
        let (lake, name) = on_postgres(Lake::on_disk());
        let url = parts().get("POSTGRES_URL").to_owned();
        let uri = url.replace("postgresql://", "postgresql+psycopg2://");
        let password = Some(Secret::new(parts().get("POSTGRES_PASSWORD")));
        let catalog = CatalogSettings::Postgres(PostgresSettings { url, password });
        Self { lake, catalog, name, kind: "sql", uri, _server: None }
    }

    /// Behind the REST protocol of `sluice serve`, over a file.
    pub(crate) fn over_rest() -> Self {
        let lake = Lake::on_disk();
        let server = Server::start(twin(&lake));
        let uri = format!("http://{}/iceberg", server.http);
        let lake = lake.with("SLUICE_LAKE_CATALOG", &uri);
        let catalog = CatalogSettings::Rest(RestSettings { uri: uri.clone(), ..RestSettings::default() });
        Self { lake, catalog, name: "sluice".to_owned(), kind: "rest", uri, _server: Some(server) }
    }

    /// For the crate itself.
    pub(crate) fn settings(&self) -> LakeSettings {
        let local = LakeSettings::local(self.lake.dir());
        LakeSettings { catalog: self.catalog.clone(), name: self.name.clone(), ..local }
    }

    /// For the judges: kind, address, and name of the catalog.
    pub(crate) fn reached(&self) -> [&str; 3] {
        [self.kind, &self.uri, &self.name]
    }
}

/// The same lake, its catalog in PostgreSQL under a name of its own; gives that name.
pub(crate) fn on_postgres(lake: Lake) -> (Lake, String) {
    let name = unique("catalog");
    let lake = lake
        .with("SLUICE_LAKE_CATALOG", parts().get("POSTGRES_URL"))
        .with("SLUICE_LAKE_NAME", &name)
        .with("PGPASSWORD", parts().get("POSTGRES_PASSWORD"));
    (lake, name)
}

/// A second handle of the lake, since a server keeps its own.
pub(crate) fn twin(lake: &Lake) -> Lake {
    let again = lake.environment().iter().fold(Lake::on_disk(), |twin, (name, value)| twin.with(name, value));
    // The last one given wins over the folder of the handle.
    again.with("SLUICE_DATA", lake.dir().to_str().unwrap())
}

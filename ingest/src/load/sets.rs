//! Published data sets: which files they have, which tables those become, with declared types.

mod instacart;
pub(super) mod olist;
pub(super) mod retail_rocket;

use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, TimeUnit};
use sluice_catalog::TableName;

use super::columns::{Column, Spelling};
use super::infer::PRECISION;
use super::part::{self, Part};
use super::{Error, Result};

/// A published data set whose files are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// Retail Rocket recommender system data set: events, item properties, category tree.
    RetailRocket,
    /// Instacart Online Grocery Shopping data set of 2017: orders, their lines, products.
    Instacart,
    /// Brazilian E-Commerce Public Dataset by Olist: nine files.
    Olist,
}

/// One file of a data set.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetFile {
    /// The file's name without `.csv`.
    pub(super) stem: &'static str,
    /// The table in namespace bronze.
    table: &'static str,
    columns: &'static [(&'static str, Type)],
}

#[derive(Clone, Copy, Debug)]
enum Type {
    Text,
    Long,
    Padded,
    Double,
    Money,
    Time,
    Millis,
}

impl DataSet {
    pub(super) fn files(self) -> &'static [SetFile] {
        match self {
            Self::RetailRocket => &retail_rocket::FILES,
            Self::Instacart => &instacart::FILES,
            Self::Olist => &olist::FILES,
        }
    }

    /// The files of the set behind folders, archives and paths. A folder must hold all of them.
    pub(super) fn find(self, inputs: &[PathBuf]) -> Result<Vec<(SetFile, Part)>> {
        let mut found = Vec::new();
        for input in inputs {
            if input.is_dir() {
                found.extend(in_folder(input, self.files())?);
                continue;
            }
            let before = found.len();
            for part in part::find(std::slice::from_ref(input))? {
                if let Some(file) = self.files().iter().find(|file| file.stem == part.stem()) {
                    found.push((*file, part));
                }
            }
            if found.len() == before {
                let names: Vec<&str> = self.files().iter().map(|file| file.stem).collect();
                let fact = format!("it is none of the files of the data set: {}", names.join(", "));
                let remedy = "name a folder or an archive with them, or load it with `load csv`";
                return Err(Error::Input { path: input.clone(), fact, remedy });
            }
        }
        Ok(found)
    }
}

/// Where each of these files lies in a folder.
///
/// # Errors
/// Names all that are missing.
pub(super) fn in_folder(folder: &Path, files: &[SetFile]) -> Result<Vec<(SetFile, Part)>> {
    let path = |file: &SetFile| {
        let candidates =
            ["csv", "csv.zst", "csv.gz"].map(|ending| folder.join(format!("{}.{ending}", file.stem)));
        candidates.into_iter().find(|path| path.is_file())
    };
    let missing: Vec<&str> = files.iter().filter(|file| path(file).is_none()).map(|file| file.stem).collect();
    if !missing.is_empty() {
        return Err(Error::MissingFiles { folder: folder.to_owned(), missing: missing.join(", ") });
    }
    let mut found = Vec::new();
    for (file, path) in files.iter().filter_map(|file| Some((*file, path(file)?))) {
        found.extend(part::open(&path)?.into_iter().map(|part| (file, part)));
    }
    Ok(found)
}

impl SetFile {
    pub(super) fn table(&self) -> Result<TableName> {
        Ok(TableName::new("bronze", self.table)?)
    }

    pub(super) fn columns(&self) -> Vec<Column> {
        self.columns
            .iter()
            .map(|(name, kind)| Column { spelling: kind.spelling(), ..Column::new(*name, kind.arrow()) })
            .collect()
    }
}

impl Type {
    fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Long | Self::Padded => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Money => DataType::Decimal128(PRECISION, 2),
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Millis => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    fn spelling(self) -> Spelling {
        match self {
            Self::Padded => Spelling::Padded,
            Self::Millis => Spelling::Millis,
            _ => Spelling::Plain,
        }
    }
}

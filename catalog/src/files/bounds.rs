//! The range of a column in a file, as the file's manifest says it.

use iceberg::spec::DataFile;

/// The smallest and the largest value of a column in one file, in the binary form of the Iceberg format (integers
/// little-endian, decimals big-endian, text as UTF-8). Long texts are cut, to valid bounds. `None` where the file
/// does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// No value lies below.
    pub lower: Option<Vec<u8>>,
    /// No value lies above.
    pub upper: Option<Vec<u8>>,
}

impl Bounds {
    /// Those of the column with this field id.
    pub fn of(file: &DataFile, field: i32) -> Self {
        let bytes = |datum: &iceberg::spec::Datum| datum.to_bytes().ok().map(|bytes| bytes.into_vec());
        Self {
            lower: file.lower_bounds().get(&field).and_then(bytes),
            upper: file.upper_bounds().get(&field).and_then(bytes),
        }
    }
}

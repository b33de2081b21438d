//! The SQL types as ODBC and Power BI ask for them, each once under its plain name.

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

/// The table of types.
pub(crate) fn data() -> Result<XdbcTypeInfoData, FlightError> {
    use XdbcDataType as X;
    let mut types = XdbcTypeInfoDataBuilder::new();
    types.append(XdbcTypeInfo { unsigned_attribute: None, ..plain("BOOLEAN", X::XdbcBit, 1) });
    types.append(number("TINYINT", X::XdbcTinyint, 3));
    types.append(number("SMALLINT", X::XdbcSmallint, 5));
    types.append(number("INTEGER", X::XdbcInteger, 10));
    types.append(number("BIGINT", X::XdbcBigint, 19));
    types.append(number("REAL", X::XdbcReal, 7));
    types.append(number("DOUBLE", X::XdbcDouble, 15));
    types.append(XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        ..number("DECIMAL", X::XdbcDecimal, 38)
    });
    types.append(XdbcTypeInfo { case_sensitive: true, ..quoted("VARCHAR", X::XdbcVarchar, i32::MAX, "'") });
    types.append(XdbcTypeInfo {
        searchable: Searchable::Basic,
        ..quoted("VARBINARY", X::XdbcVarbinary, i32::MAX, "X'")
    });
    types
        .append(XdbcTypeInfo { sql_data_type: X::XdbcDatetime, ..quoted("DATE", X::XdbcDate, 10, "DATE '") });
    types.append(time("TIME", X::XdbcTime, 15, XdbcDatetimeSubcode::XdbcSubcodeTime));
    types.append(time("TIMESTAMP", X::XdbcTimestamp, 26, XdbcDatetimeSubcode::XdbcSubcodeTimestamp));
    types.build()
}

fn plain(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, data_type: XdbcDataType, digits: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(10),
        ..plain(name, data_type, digits)
    }
}

fn quoted(name: &str, data_type: XdbcDataType, size: i32, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..plain(name, data_type, size)
    }
}

fn time(name: &str, data_type: XdbcDataType, size: i32, subcode: XdbcDatetimeSubcode) -> XdbcTypeInfo {
    XdbcTypeInfo {
        minimum_scale: Some(0),
        maximum_scale: Some(6),
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..quoted(name, data_type, size, &format!("{name} '"))
    }
}

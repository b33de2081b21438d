//! What this server can do, as GetSqlInfo tells it: every id from 0 to 11, 100, 101 and 500 to 576.
//!
//! None may be missing. JDBC 18 unboxes a missing value into a NullPointerException, and tools ask for all
//! sorts of them while connecting. Value kinds follow the protocol: booleans, texts, text lists, 64-bit
//! maxima (0 = no limit or not known), 32-bit bit masks.
//!
//! Where the protocol and the drivers differ, the drivers win. Ordinals (identifier case, null ordering,
//! default isolation) have 64 bits: JDBC casts to Long, and ODBC reads 64 bits whatever is sent. The level
//! of outer joins is an ordinal in the protocol, and a bit mask to JDBC and ODBC.

use std::collections::BTreeMap;

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel,
    SupportedSqlGrammar,
};

use super::vocabulary::{
    DATETIME_FUNCTIONS, KEYWORDS, NUMERIC_FUNCTIONS, STRING_FUNCTIONS, SYSTEM_FUNCTIONS,
};

/// `SQL_STORED_FUNCTIONS_USING_CALL_SYNTAX_SUPPORTED`, which the library's enum lacks.
const STORED_FUNCTIONS_USING_CALL_SYNTAX: u32 = 576;

/// A set of enum values as a bit mask: bit n stands for value n.
macro_rules! mask {
    ($($value:expr),* $(,)?) => { 0 $(| (1 << $value as i32))* };
}

/// The table of answers.
pub(crate) fn data(
    sql_bytes_max: usize,
    queries_max: usize,
    read_only: bool,
) -> Result<SqlInfoData, FlightError> {
    let mut infos = SqlInfoDataBuilder::new();
    server(&mut infos, read_only);
    language(&mut infos);
    grammar(&mut infos);
    structure(&mut infos);
    maxima(&mut infos, sql_bytes_max, queries_max);
    transactions(&mut infos);
    results(&mut infos);
    infos.build()
}

fn server(infos: &mut SqlInfoDataBuilder, read_only: bool) {
    infos.append(SqlInfo::FlightSqlServerName, "Sluice");
    infos.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    infos.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    infos.append(SqlInfo::FlightSqlServerReadOnly, read_only);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, false);
    infos.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    infos.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    infos.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    infos.append(SqlInfo::FlightSqlServerCancel, true);
    infos.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    infos.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    infos.append(SqlInfo::FlightSqlServerStatementTimeout, 0);
    infos.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
}

fn language(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::SqlDdlCatalog, false);
    infos.append(SqlInfo::SqlDdlSchema, false);
    infos.append(SqlInfo::SqlDdlTable, false);
    // Unquoted names are folded to lower case; quoted ones are taken as they are, which the enum cannot say:
    // ODBC takes `unknown` for it.
    infos.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i64);
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    infos.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i64,
    );
    infos.append(SqlInfo::SqlAllTablesAreSelectable, true);
    infos.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i64);
    infos.append(SqlInfo::SqlKeywords, KEYWORDS);
    infos.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    infos.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS);
    infos.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS);
    infos.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    infos.append(SqlInfo::SqlSearchStringEscape, "\\");
    infos.append(SqlInfo::SqlExtraNameCharacters, "");
}

fn grammar(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::SqlSupportsColumnAliasing, true);
    infos.append(SqlInfo::SqlNullPlusNullIsNull, true);
    infos.append(SqlInfo::SqlSupportsConvert, conversions());
    infos.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    infos.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    infos.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    infos.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    // Not `unrelated`: to ODBC that says that selected columns need not be grouped by.
    infos.append(SqlInfo::SqlSupportedGroupBy, mask!(SqlSupportedGroupBy::SqlGroupByBeyondSelect));
    infos.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    infos.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    infos.append(
        SqlInfo::SqlSupportedGrammar,
        mask!(SupportedSqlGrammar::SqlMinimumGrammar, SupportedSqlGrammar::SqlCoreGrammar),
    );
    // Bit 0: entry level. Tableau refuses to connect to a server without it.
    infos.append(SqlInfo::SqlAnsi92SupportedLevel, 1);
    infos.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    infos.append(
        SqlInfo::SqlOuterJoinsSupportLevel,
        mask!(SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins, SqlOuterJoinsSupportLevel::SqlFullOuterJoins),
    );
    infos.append(
        SqlInfo::SqlSupportedSubqueries,
        mask!(
            SqlSupportedSubqueries::SqlSubqueriesInComparisons,
            SqlSupportedSubqueries::SqlSubqueriesInExists,
            SqlSupportedSubqueries::SqlSubqueriesInIns,
        ),
    );
    infos.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    infos.append(
        SqlInfo::SqlSupportedUnions,
        mask!(SqlSupportedUnions::SqlUnion, SqlSupportedUnions::SqlUnionAll),
    );
}

fn structure(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::SqlSchemaTerm, "namespace");
    infos.append(SqlInfo::SqlProcedureTerm, "procedure");
    // ODBC takes an empty term for "there are no catalogs".
    infos.append(SqlInfo::SqlCatalogTerm, "catalog");
    infos.append(SqlInfo::SqlCatalogAtStart, true);
    infos.append(SqlInfo::SqlSchemasSupportedActions, 0);
    infos.append(SqlInfo::SqlCatalogsSupportedActions, 0);
    infos.append(SqlInfo::SqlSupportedPositionedCommands, 0);
    infos.append(SqlInfo::SqlSelectForUpdateSupported, false);
    infos.append(SqlInfo::SqlStoredProceduresSupported, false);
    infos.append(SqlInfo::SqlNamedParametersSupported, false);
    infos.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    infos.append(STORED_FUNCTIONS_USING_CALL_SYNTAX, false);
}

fn maxima(infos: &mut SqlInfoDataBuilder, sql_bytes_max: usize, queries_max: usize) {
    let unlimited = [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ];
    for info in unlimited {
        infos.append(info, 0_i64);
    }
    infos.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
    infos.append(SqlInfo::SqlMaxStatementLength, i64::try_from(sql_bytes_max).unwrap_or(0));
    infos.append(SqlInfo::SqlMaxStatements, i64::try_from(queries_max).unwrap_or(0));
}

fn transactions(infos: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone;
    infos.append(SqlInfo::SqlDefaultTransactionIsolation, none as i64);
    infos.append(SqlInfo::SqlTransactionsSupported, false);
    infos.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, mask!(none));
    infos.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    infos.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    infos.append(SqlInfo::SqlSavepointsSupported, false);
    infos.append(SqlInfo::SqlBatchUpdatesSupported, false);
}

fn results(infos: &mut SqlInfoDataBuilder) {
    use SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as ReadOnly;
    infos.append(
        SqlInfo::SqlSupportedResultSetTypes,
        mask!(
            SqlSupportedResultSetType::SqlResultSetTypeUnspecified,
            SqlSupportedResultSetType::SqlResultSetTypeForwardOnly
        ),
    );
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, mask!(ReadOnly));
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, mask!(ReadOnly));
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0);
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0);
}

/// Which types CAST converts into which.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as To;
    let numbers = [
        To::SqlConvertBit,
        To::SqlConvertTinyint,
        To::SqlConvertSmallint,
        To::SqlConvertInteger,
        To::SqlConvertBigint,
        To::SqlConvertReal,
        To::SqlConvertFloat,
        To::SqlConvertDecimal,
        To::SqlConvertNumeric,
    ];
    let times = [To::SqlConvertDate, To::SqlConvertTimestamp];
    let texts = [To::SqlConvertVarchar];
    let every = [&numbers[..], &times, &texts].concat();
    let mut map = BTreeMap::new();
    let mut put = |from: &[To], to: Vec<To>| {
        for from in from {
            map.insert(*from as i32, to.iter().map(|to| *to as i32).collect());
        }
    };
    put(&numbers, [&numbers[..], &texts].concat());
    put(&times, [&times[..], &texts].concat());
    put(&texts, every);
    map
}

//! Loads of files: killed in the middle, gone on with, recognised; judged by DuckDB and PyIceberg.

use crate::judge::{judge, same_rows};
use crate::sluice::Lake;

/// Enough that a load is seen at work, and so little that it stays short on unoptimised code.
const ROWS: usize = 400_000;
const BAD: usize = 2;

fn file(lake: &Lake) -> String {
    let line = |row: usize| match row {
        1_000 | 300_000 => format!("{row}\n"),
        _ => format!("{row},\"name, {}\",{}.25\n", row % 977, row % 10_000),
    };
    let content = format!("id,name,amount\n{}", (0..ROWS).map(line).collect::<String>());
    lake.file("big.csv", content).to_str().unwrap().to_owned()
}

fn rows(lake: &Lake) -> u64 {
    let listed = lake.succeed(&["tables", "--json"]).json_lines();
    let table = listed.iter().find(|table| table["table"] == "bronze.big");
    table.and_then(|table| table["rows"].as_u64()).unwrap_or(0)
}

#[test]
fn a_killed_load_goes_on_without_a_row_twice() {
    let lake = Lake::on_disk();
    let file = file(&lake);
    let load = ["load", "csv", &file, "--commit-every", "256KiB", "--json"];
    let mut before = 0;
    for _ in 0..2 {
        let loading = lake.start(&load);
        // Until there is a commit that the last run did not see.
        while rows(&lake) <= before {}
        loading.kill();
        before = rows(&lake);
        assert!(before < (ROWS - BAD) as u64, "the kill came too late to say anything");
    }
    let report = lake.succeed(&load).json();
    assert_eq!(
        report["rows"].as_u64(),
        Some((ROWS - BAD) as u64 - before),
        "only what was missing: {report}"
    );
    for figure in ["rejected", "seconds", "rows_per_second"] {
        assert!(report[figure].is_number(), "{report}");
    }
    let count = BAD.to_string();
    judge("same_file.py", &lake, &[lake.dir().to_str().unwrap(), "bronze.big", &file, &count]);
    let letters = "select _src_offset as line, cause from bronze.dead_letters order by 1";
    assert_eq!(lake.succeed(&["sql", letters, "--csv"]).stdout, "line,cause\n1002,ragged\n300002,ragged\n");

    let again = lake.succeed(&load).json_lines();
    assert_eq!((&again[0]["skipped"], &again[1]["rows"]), (&true.into(), &0.into()), "{again:?}");
    same_rows(&lake);
}

//! Where the rows that are left stand in their file.

use roaring::RoaringTreemap;

use super::positions;

#[test]
fn a_rows_number_becomes_its_position() {
    let file: Vec<u64> = (0..200).collect();
    for gone in [vec![], vec![0], vec![0, 1, 2], vec![5, 6, 9, 150], vec![199], (0..199).collect()] {
        let gone: RoaringTreemap = gone.into_iter().collect();
        let left: Vec<u64> = file.iter().copied().filter(|position| !gone.contains(*position)).collect();
        let every = 0..left.len() as u64;
        assert_eq!(positions(every.clone(), &gone).collect::<Vec<_>>(), left, "{gone:?}");
        let third: Vec<u64> = left.iter().copied().step_by(3).collect();
        assert_eq!(positions(every.step_by(3), &gone).collect::<Vec<_>>(), third, "{gone:?}");
    }
}

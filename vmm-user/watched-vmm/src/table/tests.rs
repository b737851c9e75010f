use super::*;
use alloc::vec::Vec;

fn exit(number: u64, place: Option<u64>) -> Exit {
    Exit { number, reason: 4, place, rip: 0, tsc: 10 * number, ticks: 3 }
}

fn rows(table: &Table) -> Vec<(Key, Sum)> {
    let (mut all, mut last) = (Vec::new(), None);
    while let Some((key, sum)) = table.row_behind(last) {
        all.push((key, sum));
        last = Some(key);
    }
    all
}

#[test]
fn sums_by_reason_and_place() {
    let mut table = Table::new();
    assert_eq!((table.row_behind(None), table.exit_from(0)), (None, None));
    for (number, place) in [(0, Some(7)), (1, None), (2, Some(7)), (3, Some(2))] {
        table.add(exit(number, place));
    }
    table.add(Exit { reason: 1, ..exit(4, Some(9)) });
    let sum = |count| Sum { count, ticks: 3 * count };
    let expected =
        [((1, Some(9)), sum(1)), ((4, None), sum(1)), ((4, Some(2)), sum(1)), ((4, Some(7)), sum(2))];
    assert_eq!(rows(&table), expected);
}

#[test]
fn rows_are_bounded_and_nothing_is_lost() {
    let mut table = Table::new();
    let many = 2 * ROWS_MAX as u64;
    (0..many).for_each(|number| table.add(exit(number, Some(number))));
    table.add(exit(many, Some(0)));
    let rows = rows(&table);
    // One more for those without a place.
    assert_eq!(rows.len(), ROWS_MAX + 1);
    assert_eq!(rows.iter().map(|(_, sum)| sum.count).sum::<u64>(), many + 1);
    assert_eq!(
        rows[0],
        ((4, None), Sum { count: many - ROWS_MAX as u64, ticks: 3 * (many - ROWS_MAX as u64) })
    );
    assert_eq!(rows[1].1.count, 2);
}

#[test]
fn the_last_exits_are_remembered() {
    let mut table = Table::new();
    // Every other number is another vCPU's.
    let last = 4 * TRACE_MAX as u64;
    (0..=last).step_by(2).for_each(|number| table.add(exit(number, None)));
    let first = table.exit_from(0).unwrap().number;
    assert_eq!(first, last - 2 * (TRACE_MAX as u64 - 1));
    for (from, number) in
        [(first, Some(first)), (first + 1, Some(first + 2)), (last, Some(last)), (last + 1, None)]
    {
        assert_eq!(table.exit_from(from).map(|exit| exit.number), number);
    }
}

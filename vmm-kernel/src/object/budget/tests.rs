use super::*;

fn used(account: &Account) -> [u64; 2] {
    [Kind::Threads, Kind::Processes].map(|kind| account.used(kind as u32))
}

#[test]
fn what_is_used_counts_here_and_above_and_beside_nowhere() {
    let root = Account::try_new(None).unwrap();
    let [one, other] = [(); 2].map(|()| Account::try_new(Some(&root)).unwrap());
    let below = Account::try_new(Some(&one)).unwrap();
    let charge = Charge::try_new(&below, Kind::Threads, 3).unwrap();
    assert_eq!([&root, &one, &other, &below].map(|a| used(a)), [[3, 3], [3, 1], [0, 0], [3, 0]]);
    drop(charge);
    assert_eq!([&root, &one, &other, &below].map(|a| used(a)), [[0, 3], [0, 1], [0, 0], [0, 0]]);
    drop(below);
    assert_eq!((used(&root), used(&one)), ([0, 2], [0, 0]));
}

#[test]
fn none_exceeds_its_limit_and_a_refusal_leaves_nothing() {
    for (limits, charges) in [
        // Its own limit, one above, and none: how many are had.
        ([u64::MAX, u64::MAX, 2], 2),
        ([u64::MAX, 2, u64::MAX], 2),
        ([2, u64::MAX, 5], 2),
        ([u64::MAX, 5, 0], 0),
        ([u64::MAX, u64::MAX, u64::MAX], 9),
    ] {
        let root = Account::try_new(None).unwrap();
        let one = Account::try_new(Some(&root)).unwrap();
        let below = Account::try_new(Some(&one)).unwrap();
        for (account, limit) in [&root, &one, &below].into_iter().zip(limits) {
            account.set_limit(budget::THREADS, limit);
        }
        let had: Vec<_> = (0..9).map_while(|_| Charge::one(&below, Kind::Threads).ok()).collect();
        assert_eq!(had.len(), charges, "{limits:?}");
        if charges < 9 {
            assert_eq!(Charge::one(&below, Kind::Threads).err(), Some(Status::OutOfThreads));
        }
        for account in [&root, &one, &below] {
            assert_eq!(account.used(budget::THREADS), charges as u64, "{limits:?}");
        }
        assert_eq!(below.least_limit(budget::THREADS), *limits.iter().min().unwrap());
        drop(had);
        assert_eq!(root.used(budget::THREADS), 0);
    }
}

#[test]
fn an_amount_that_would_wrap_is_too_much() {
    let root = Account::try_new(None).unwrap();
    root.charge(Kind::Memory, 1).unwrap();
    assert_eq!(root.charge(Kind::Memory, u64::MAX), Err(Status::OutOfMemory));
    assert_eq!(root.used(budget::MEMORY), 1);
}

/// A process counts as long as anything is there that it has made, whoever holds that.
#[test]
fn a_process_counts_until_all_that_it_made_has_gone() {
    let root = Account::try_new(None).unwrap();
    root.set_limit(budget::PROCESSES, 1);
    let child = Account::try_new(Some(&root)).unwrap();
    let event = Charge::one(&child, Kind::Events).unwrap();
    drop(child);
    assert_eq!(Account::try_new(Some(&root)).err(), Some(Status::OutOfProcesses));
    drop(event);
    assert_eq!(used(&root), [0, 0]);
    assert!(Account::try_new(Some(&root)).is_ok());
}

#[test]
fn accounts_are_so_deep_and_no_deeper() {
    let mut lowest = Account::try_new(None).unwrap();
    for _ in 1..DEPTH_MAX {
        lowest = Account::try_new(Some(&lowest)).unwrap();
    }
    assert_eq!(Account::try_new(Some(&lowest)).err(), Some(Status::OutOfProcesses));
    assert_eq!(used(&lowest), [0, 0]);
    assert_eq!(lowest.upwards().count(), DEPTH_MAX as usize);
}

#[test]
fn a_share_is_that_of_all_below() {
    let root = Account::try_new(None).unwrap();
    let child = Account::try_new(Some(&root)).unwrap();
    child.set_limit(budget::SHARE, 50);
    let below = Account::try_new(Some(&child)).unwrap();
    assert_eq!([&root, &child, &below].map(|account| account.has_share()), [false, true, true]);
    assert!(below.is_below(&child) && below.is_below(&below) && !child.is_below(&below));
}

/// In ticks: 1000 a millisecond. One that runs all the time rests as long as its share asks for.
#[test]
fn who_has_a_share_runs_that_much_of_the_time() {
    const MS: u64 = 1000;
    for percent in [1, 10, 50, 90, 100, 150] {
        let mut window = Window::default();
        let (mut now, mut ran) = (MS, 0);
        while now < 20_000 * MS {
            match window.rest_until(now, 1000 * MS, percent, || ran) {
                Some(until) => {
                    assert!(until > now, "{percent}");
                    now = until;
                }
                // Ten milliseconds go by until the next look.
                None => (now, ran) = (now + 10 * MS, ran + 10 * MS),
            }
        }
        let wanted = percent.min(100);
        let had = ran * 100 / now;
        assert!(had <= wanted + 1 && had + 2 >= wanted, "{had} of {percent} percent");
    }
}

/// What was not used is not saved up, and who uses less than its share never rests.
#[test]
fn a_share_is_not_saved_up() {
    const MS: u64 = 1000;
    let mut window = Window::default();
    let mut ran = 0;
    for now in (MS..10_000 * MS).step_by(10 * MS as usize) {
        assert_eq!(window.rest_until(now, 1000 * MS, 50, || ran), None);
        ran += 4 * MS;
    }
    let rests = (0..40).filter(|step| {
        ran += 10 * MS;
        window.rest_until(10_000 * MS + step * 10 * MS, 1000 * MS, 50, || ran).is_some()
    });
    assert!(rests.count() > 20);
}

#[test]
fn a_share_of_one_above_has_those_below_rest() {
    let root = Account::try_new(None).unwrap();
    let child = Account::try_new(Some(&root)).unwrap();
    child.set_limit(budget::SHARE, 10);
    let below = Account::try_new(Some(&child)).unwrap();
    let ran = |time: u64| move |account: &Account| if account.depth == 1 { time } else { 0 };
    assert_eq!(below.rest_until(1000, 1_000_000, ran(0)), None);
    assert_eq!(below.rest_until(61_000, 1_000_000, ran(60_000)), Some(601_000));
    assert_eq!(root.rest_until(61_000, 1_000_000, ran(60_000)), None);
    below.thread_ended(7);
    assert_eq!([&root, &child, &below].map(|a| a.ended_ran.load(Ordering::Relaxed)), [7; 3]);
}

use super::SpinLock;

#[test]
fn one_holder_at_a_time() {
    static COUNT: SpinLock<(u64, u64)> = SpinLock::new((0, 0));
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let mut count = COUNT.lock();
                    assert_eq!(count.0, count.1, "another holder is between the two");
                    count.0 += 1;
                    count.1 += 1;
                }
            });
        }
    });
    assert_eq!(*COUNT.lock(), (3 * rounds, 3 * rounds));
}

#[test]
fn trying_does_not_wait() {
    let lock = SpinLock::new(1);
    let held = lock.lock();
    assert!(lock.try_lock().is_none());
    drop(held);
    *lock.try_lock().unwrap() = 2;
    assert_eq!(*lock.lock(), 2);
}

//! Many short lives of a lake under faults, each replayable by its seed.
//!
//! ```text
//! seed -> faults of store and catalog, clocks, interleaving
//!         writers (two of them on the same partitions), a compactor, a foreign writer  -> the same lake
//!         faults end -> judge: every invariant of the protocol, from the files alone
//! ```
//!
//! Everything runs on one thread over a clock that jumps from event to event, so a seed gives the same run each
//! time: `SLUICE_TEST_SEED=17` runs that one alone, `SLUICE_TEST_SEEDS=100000` runs more of them.

mod actors;
mod catalog;
mod dice;
mod judge;
mod store;
mod world;

use futures::future::join_all;

use self::world::World;

/// Lives of one run of the tests.
const SEEDS: u64 = 2_000;

#[test]
fn no_fault_loses_or_doubles_a_row() {
    if let Some(seed) = number("SLUICE_TEST_SEED") {
        live(seed);
        return;
    }
    let seeds = number("SLUICE_TEST_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let mut faults = 0;
    std::thread::scope(|scope| {
        let share =
            |first| scope.spawn(move || (first..seeds).step_by(threads as usize).map(live).sum::<u64>());
        let shares: Vec<_> = (0..threads).map(share).collect();
        for share in shares {
            faults += share.join().expect("a seed failed; its number is above");
        }
    });
    println!("{seeds} lives, {faults} faults, 0 violations");
    // A simulation that injects nothing proves nothing.
    assert!(faults > seeds * 5, "only {faults} faults in {seeds} lives");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    assert_eq!(live(4), live(4));
}

/// One life; gives the number of faults that were injected.
fn live(seed: u64) -> u64 {
    /// Names the seed when a check fails.
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("replay with SLUICE_TEST_SEED={}", self.0);
            }
        }
    }
    let _named = Named(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(seed).await;
        join_all(actors::all(&world)).await;
        let faults = world.dice.end_faults();
        judge::judge(&world).await;
        faults
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

//! Many short lives of a lake under faults, each replayable by its seed.
//!
//! ```text
//! seed -> faults of store and catalog, clocks, interleaving
//!         writers (two of them on the same partitions), a compactor, a foreign writer  -> the same lake
//!         in every second life: another engine that rolls back, moves main, branches, expires
//!         faults end -> the rest of the log lands -> judge: every invariant, from the files alone
//! ```
//!
//! Everything runs on one thread over a clock that jumps from event to event, so a seed gives the same run each
//! time: `SLUICE_TEST_SEED=17` runs that one alone, `SLUICE_TEST_SEEDS=100000` runs more of them.

mod actors;
mod catalog;
mod dice;
mod judge;
mod meddler;
mod store;
mod world;

use futures::future::join_all;

use self::world::World;

/// Lives of one run of the tests.
const SEEDS: u64 = 2_000;

/// What happened in a life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Life {
    /// Injected into the store and the catalog.
    faults: u64,
    /// Times that another engine moved `main`.
    moves: u64,
    /// Whether the tables could tell where to go on at the end.
    told: bool,
}

#[test]
fn no_fault_loses_or_doubles_a_row() {
    if let Some(seed) = number("SLUICE_TEST_SEED") {
        println!("{:?}", live(seed));
        return;
    }
    let seeds = number("SLUICE_TEST_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let (mut faults, mut moves, mut silent) = (0, 0, 0);
    std::thread::scope(|scope| {
        let share = |first| {
            scope.spawn(move || (first..seeds).step_by(threads as usize).map(live).collect::<Vec<_>>())
        };
        let shares: Vec<_> = (0..threads).map(share).collect();
        for share in shares {
            for life in share.join().expect("a seed failed; its number is above") {
                (faults, moves) = (faults + life.faults, moves + life.moves);
                silent += u64::from(!life.told);
            }
        }
    });
    println!(
        "{seeds} lives, {faults} faults, {moves} moves of main, 0 violations; {silent} tables that cannot tell"
    );
    // A simulation that injects nothing proves nothing.
    assert!(faults > seeds * 5, "only {faults} faults in {seeds} lives");
    assert!(moves > seeds / 2, "only {moves} moves of main in {seeds} lives");
    assert!(silent < seeds / 10, "{silent} of {seeds} tables could not tell where to go on");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    assert_eq!(live(5), live(5));
}

/// One life, judged.
fn live(seed: u64) -> Life {
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
        world.catalog.deliver();
        let told = actors::land_the_rest(&world).await;
        judge::judge(&world, told).await;
        Life { faults, moves: *world.moves.lock().unwrap(), told }
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

//! Many things of one kind on every core. What comes out stands in the order of what went in, however many cores there are.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;

/// Fewer things are not worth another thread.
const WORTH_A_THREAD: usize = 256;

/// What is made of each thing.
///
/// ```
/// use ematix_flow_core::cores;
/// let numbers: Vec<u32> = (0..1_000).collect();
/// assert_eq!(cores::each(&numbers, |number| number * 2), (0..1_000).map(|number| number * 2).collect::<Vec<_>>());
/// ```
pub fn each<T: Sync, R: Send>(things: &[T], make: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let made = parts(things, |part| part.iter().map(&make).collect::<Vec<R>>());
    made.into_iter().flatten().collect()
}

/// What is made of each part of the things: one for each core, or one of all where they are few.
pub fn parts<T: Sync, R: Send>(things: &[T], make: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.min(things.len() / WORTH_A_THREAD);
    if threads < 2 {
        return vec![make(things)];
    }
    thread::scope(|scope| {
        let make = &make;
        let making: Vec<_> = things
            .chunks(things.len().div_ceil(threads))
            .map(|part| scope.spawn(move || make(part)))
            .collect();
        let made = making.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
        made.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_out_stands_in_the_order_of_what_went_in() {
        for count in [0, 1, 2 * WORTH_A_THREAD - 1, 2 * WORTH_A_THREAD, 10 * WORTH_A_THREAD + 7] {
            let numbers: Vec<usize> = (0..count).collect();
            assert_eq!(each(&numbers, |number| number + 1), (1..=count).collect::<Vec<_>>());
        }
    }
}

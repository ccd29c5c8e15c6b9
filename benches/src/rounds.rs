//! Two things measured in turn. Says nothing of what is measured.

use anyhow::{Context, Result};

/// Measures two things in turn, `rounds` times each. Who begins changes from round to round: the second of a pair finds
/// warmer caches, and perhaps another load on the machine.
///
/// # Errors
/// A measurement failed.
pub async fn in_turn<A, B>(
    rounds: usize,
    mut ours: impl AsyncFnMut() -> Result<A>,
    mut theirs: impl AsyncFnMut() -> Result<B>,
) -> Result<Vec<(A, B)>> {
    let mut pairs = Vec::with_capacity(rounds);
    for round in 0..rounds {
        pairs.push(if round % 2 == 0 {
            let ours = ours().await?;
            (ours, theirs().await?)
        } else {
            let theirs = theirs().await?;
            (ours().await?, theirs)
        });
    }
    Ok(pairs)
}

/// How many rounds to measure: what `--rounds N` says, else `usual`.
///
/// # Errors
/// It says something else.
pub fn rounds_asked(usual: usize) -> Result<usize> {
    let mut words = std::env::args().skip_while(|word| word != "--rounds").skip(1);
    match words.next() {
        Some(word) => word.parse().with_context(|| format!("--rounds {word}")),
        None => Ok(usual),
    }
}

//! Alternating measurements.

use anyhow::{Context, Result};

/// Measures two methods alternately, `rounds` times each. The first one changes from round to round: the second finds warmer
/// caches, and perhaps another load on the machine.
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

/// The same for any number of methods: each is measured once in a round, and each round begins with another one. Returns the
/// samples in the order of the methods.
///
/// # Errors
/// A measurement failed.
pub async fn in_rotation<W: Copy, T>(
    rounds: usize,
    ways: &[W],
    mut measure: impl AsyncFnMut(W) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut samples: Vec<Vec<T>> = ways.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds {
        for turn in 0..ways.len() {
            let way = (round + turn) % ways.len();
            samples[way].push(measure(ways[way]).await?);
        }
    }
    Ok(samples)
}

/// How many rounds to measure: the value of `--rounds N`, else `usual`.
///
/// # Errors
/// The value is not a number.
pub fn rounds_asked(usual: usize) -> Result<usize> {
    let mut args = std::env::args().skip_while(|arg| arg != "--rounds").skip(1);
    match args.next() {
        Some(arg) => arg.parse().with_context(|| format!("--rounds {arg}")),
        None => Ok(usual),
    }
}

#[cfg(test)]
mod tests {
    use super::in_rotation;

    #[tokio::test]
    async fn everybody_begins_once() {
        let mut order = Vec::new();
        let measure = async |way: char| {
            order.push(way);
            Ok(way)
        };
        let samples = in_rotation(3, &['a', 'b', 'c'], measure).await.unwrap();
        assert_eq!(String::from_iter(order), "abcbcacab");
        assert_eq!(samples, [['a'; 3], ['b'; 3], ['c'; 3]]);
    }
}

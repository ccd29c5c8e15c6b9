//! Claims among the threads of a test, which are like processes to the kernel.

use super::*;

fn unique(what: &str) -> String {
    format!("test/{}/{what}", std::process::id())
}

#[test]
fn a_thing_is_claimed_once_and_free_again_after() {
    let what = unique("once");
    let claim = Claim::take(&what).unwrap();
    let Err(ClaimError::Taken { holder, .. }) = Claim::take(&what) else { panic!("claimed twice") };
    assert_eq!(holder.pid, Some(std::process::id() as i32));
    drop(claim);
    Claim::take(&what).unwrap();
}

#[test]
fn claims_are_all_or_none() {
    let [a, b] = [unique("all-a"), unique("all-b")];
    let (mine, other) = (Claims::new(), Claims::new());
    other.claim_all([b.clone()]).unwrap();
    mine.claim_all([a.clone(), b.clone()]).unwrap_err();
    assert!(!mine.holds(&a));
    other.claim_all([a.clone(), b.clone()]).unwrap();
}

#[test]
fn a_released_claim_is_free_for_others() {
    let [a, b] = [unique("release-a"), unique("release-b")];
    let (mine, other) = (Claims::new(), Claims::new());
    mine.claim_all([a.clone(), b.clone()]).unwrap();
    mine.release([&a, &unique("release-never-held")]);
    other.claim_all([a.clone()]).unwrap();
    other.claim_all([b.clone()]).unwrap_err();
}

#[tokio::test]
async fn who_waits_gets_the_place_that_becomes_free() {
    let what = unique("places");
    let limit = Duration::from_secs(10);
    let first = Claim::take_one_of(&what, 2, limit).await.unwrap();
    let _second = Claim::take_one_of(&what, 2, limit).await.unwrap();
    let waiting = tokio::spawn(async move { Claim::take_one_of(&what, 2, limit).await });
    tokio::task::yield_now().await;
    drop(first);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_waits_too_long_is_told() {
    let what = unique("late");
    let _held = Claim::take_one_of(&what, 1, Duration::from_secs(1)).await.unwrap();
    let error = Claim::take_one_of(&what, 1, Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, ClaimError::Late { .. }), "{error}");
}

#[tokio::test]
async fn many_who_wait_do_not_wear_out_who_holds() {
    let what = unique("many");
    let limit = Duration::from_secs(60);
    let _holder = Claim::take_one_of(&what, 2, limit).await.unwrap();
    let turns = (0..100).map(|_| async {
        let claim = Claim::take_one_of(&what, 2, limit).await?;
        tokio::task::yield_now().await;
        drop(claim);
        Ok::<(), ClaimError>(())
    });
    futures::future::try_join_all(turns).await.unwrap();
}

#[tokio::test]
async fn a_name_that_somebody_has_without_listening_is_waited_for_no_longer_than_any() {
    let what = unique("squatted");
    let squatter = stream().unwrap();
    bind(squatter.as_raw_fd(), &address(&format!("{what}/0")).unwrap()).unwrap();
    let error = Claim::take_one_of(&what, 1, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, ClaimError::Late { .. }), "{error}");
    drop(squatter);
    Claim::take_one_of(&what, 1, Duration::from_secs(10)).await.unwrap();
}

#[test]
fn a_name_that_is_too_long_is_an_error() {
    assert!(matches!(Claim::take(&"x".repeat(200)), Err(ClaimError::Io { .. })));
}

#[test]
fn a_namespace_has_claims_of_its_own() {
    let what = unique("namespace");
    let _ours = Claim::take(&what).unwrap();
    let namespace = match Namespace::private() {
        Ok(namespace) => namespace,
        Err(error) if std::env::var_os("CI").is_none() => return eprintln!("not tested: {error}"),
        Err(error) => panic!("{error}"),
    };
    let claim = Claim::take_in(&namespace, &what).unwrap();
    let Err(ClaimError::Taken { holder, .. }) = Claim::take_in(&namespace, &what) else { panic!("claimed twice") };
    assert_eq!(holder.pid, Some(std::process::id() as i32));
    drop(claim);
    Claim::take_in(&namespace, &what).unwrap();
}

//! Host locks among the threads of a test. To the kernel these are like processes.

use super::*;

fn unique(what: &str) -> String {
    format!("test/{}/{what}", std::process::id())
}

#[test]
fn a_thing_is_locked_once_and_free_again_after() {
    let what = unique("once");
    let host_lock = HostLock::take(&what).unwrap();
    let Err(HostLockError::Taken { holder, .. }) = HostLock::take(&what) else { panic!("locked twice") };
    assert_eq!(holder.pid, Some(std::process::id() as i32));
    drop(host_lock);
    HostLock::take(&what).unwrap();
}

#[test]
fn locks_are_all_or_none() {
    let [a, b] = [unique("all-a"), unique("all-b")];
    let (mine, other) = (HostLocks::new(), HostLocks::new());
    other.take_all([b.clone()]).unwrap();
    mine.take_all([a.clone(), b.clone()]).unwrap_err();
    assert!(!mine.holds(&a));
    other.take_all([a.clone(), b.clone()]).unwrap();
}

#[test]
fn a_released_lock_is_free_for_others() {
    let [a, b] = [unique("release-a"), unique("release-b")];
    let (mine, other) = (HostLocks::new(), HostLocks::new());
    mine.take_all([a.clone(), b.clone()]).unwrap();
    mine.release([&a, &unique("release-never-held")]);
    other.take_all([a.clone()]).unwrap();
    other.take_all([b.clone()]).unwrap_err();
}

#[tokio::test]
async fn a_waiting_caller_gets_the_slot_that_becomes_free() {
    let what = unique("places");
    let limit = Duration::from_secs(10);
    let first = HostLock::take_one_of(&what, 2, limit).await.unwrap();
    let _second = HostLock::take_one_of(&what, 2, limit).await.unwrap();
    let waiting = tokio::spawn(async move { HostLock::take_one_of(&what, 2, limit).await });
    tokio::task::yield_now().await;
    drop(first);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_wait_that_takes_too_long_is_reported() {
    let what = unique("late");
    let _held = HostLock::take_one_of(&what, 1, Duration::from_secs(1)).await.unwrap();
    let error = HostLock::take_one_of(&what, 1, Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, HostLockError::Late { .. }), "{error}");
}

#[tokio::test]
async fn many_waiting_callers_do_not_exhaust_the_holder() {
    let what = unique("many");
    let limit = Duration::from_secs(60);
    let _holder = HostLock::take_one_of(&what, 2, limit).await.unwrap();
    let turns = (0..100).map(|_| async {
        let host_lock = HostLock::take_one_of(&what, 2, limit).await?;
        tokio::task::yield_now().await;
        drop(host_lock);
        Ok::<(), HostLockError>(())
    });
    futures::future::try_join_all(turns).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_does_not_listen_is_waited_for_like_any_other() {
    let what = unique("squatted");
    let squatter = stream().unwrap();
    bind(squatter.as_raw_fd(), &address(&format!("{what}/0")).unwrap()).unwrap();
    let error = HostLock::take_one_of(&what, 1, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, HostLockError::Late { .. }), "{error}");
    drop(squatter);
    HostLock::take_one_of(&what, 1, Duration::from_secs(10)).await.unwrap();
}

#[test]
fn a_name_that_is_too_long_is_an_error() {
    assert!(matches!(HostLock::take(&"x".repeat(200)), Err(HostLockError::Io { .. })));
}

#[test]
fn a_namespace_has_locks_of_its_own() {
    let what = unique("namespace");
    let _ours = HostLock::take(&what).unwrap();
    let namespace = match Namespace::private() {
        Ok(namespace) => namespace,
        Err(error) => return crate::test_run::skip("a_namespace_has_locks_of_its_own", error).unwrap(),
    };
    let host_lock = HostLock::take_in(&namespace, &what).unwrap();
    let Err(HostLockError::Taken { holder, .. }) = HostLock::take_in(&namespace, &what) else { panic!("locked twice") };
    assert_eq!(holder.pid, Some(std::process::id() as i32));
    drop(host_lock);
    HostLock::take_in(&namespace, &what).unwrap();
}

//! A plugin's panics are errors, wherever they happen.

use std::sync::Arc;

use xcluster_core::external::{PluginBackend, PluginConfig};
use xcluster_core::net::{NetBackend, Settings};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestContext, TestFailure, ensure};

use super::fixture::{SOON, error_text, port, set_up};
use super::named;

pub(crate) fn tests() -> Vec<Test> {
    named![a_panic_is_an_error_of_its_call, a_panic_while_it_is_made_is_reported, a_panic_at_the_end_does_no_harm]
}

/// The example that cargo has built beside this test, with the place of its panic.
fn panics(place: &str) -> Result<PluginBackend, String> {
    let program = std::env::current_exe().expect("a test knows where it is");
    let folder = program.ancestors().nth(2).expect("a test is in `deps`");
    let settings: Settings = [("in".to_owned(), place.into())].into_iter().collect();
    let config = PluginConfig::new(folder.join("examples/libplugin_panics.so")).with_deadline(SOON);
    PluginBackend::load(config.with_settings(settings)).map_err(|error| {
        format!(
            "{} (`cargo build -p xcluster-core --all-features --example plugin-panics` makes it)",
            error_text(&error)
        )
    })
}

async fn a_panic_is_an_error_of_its_call() -> Result<(), TestFailure> {
    let said = async |place: &str| {
        let (backend, test_context) = (panics(place).map_err(TestFailure::new)?, TestContext::new("panics")?);
        let (context, port) = (test_context.context(), port(3));
        let done = async {
            backend.usable()?;
            set_up(&backend, &context, &port).await?;
            backend.teardown(&context, &port).await
        };
        Ok::<_, TestFailure>(done.await.err().map(|error| error_text(&error)))
    };
    for place in ["usable", "setup", "teardown"] {
        let said = said(place).await?.unwrap_or_default();
        ensure(said == format!("a panic: of a test, in {place}"), || said)?;
    }
    ensure(said("preflight").await?.as_deref() == Some("a panic: no message"), || "a number".to_owned())?;
    ensure(said("nowhere").await?.is_none(), || "it panics nowhere".to_owned())
}

async fn a_panic_while_it_is_made_is_reported() -> Result<(), TestFailure> {
    let said = |place: &str| panics(place).err().unwrap_or_default();
    let expected = "plugin `panics` did not make an instance: a panic: of a test, in configured";
    ensure(said("configured").starts_with(expected), || said("configured"))?;
    let expected = "answered `describe` with an error: a panic: of a test, in capabilities";
    ensure(said("capabilities").contains(expected), || said("capabilities"))?;
    let settings: Settings = [("in".to_owned(), "configured".into())].into_iter().collect();
    let backend = panics("").map_err(TestFailure::new)?;
    let said = backend.configured(&settings).err().map(|problems| problems.to_string()).unwrap_or_default();
    ensure(said.contains("a panic: of a test, in configured"), || said)
}

async fn a_panic_at_the_end_does_no_harm() -> Result<(), TestFailure> {
    for place in ["drop", "end"] {
        let backend: Arc<dyn NetBackend> = Arc::new(panics(place).map_err(TestFailure::new)?);
        let test_context = TestContext::new("panics")?;
        set_up(&*backend, &test_context.context(), &port(3)).await?;
        drop(test_context);
        backend.usable()?;
        drop(backend);
    }
    panics("").map(drop).map_err(TestFailure::new)
}

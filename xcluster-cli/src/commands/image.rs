//! `image`: shows or builds the standard guest.

use std::io::{Write, stderr};
use std::path::Path;

use serde::Serialize;
use xcluster_core::image::{self, Image, Manifest};

use crate::args::ImageArgs;
use crate::exit::Exit;
use crate::output::{print, print_json, table};
use crate::report::{Failure, Outcome};

/// An image as `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    kernel: &'a Path,
    initramfs: Option<&'a Path>,
    manifest: Option<&'a Manifest>,
}

/// Prints the files and packages of the image. Builds it first if needed.
pub(super) fn run(args: &ImageArgs) -> Outcome {
    let progress = |what: &str| drop(writeln!(stderr(), "guest: {what}"));
    let image = if args.rebuild { image::newest_image(&progress) } else { image::standard_image(&progress) };
    let image = image.map_err(|error| {
        let failure = Failure::from_error(Exit::HOST, &error).context("cannot build the guest");
        Failure { hint: error.hint(), ..failure }
    })?;
    if args.json.json {
        let Image { kernel, initramfs, manifest, .. } = &image;
        print_json(&Report { kernel, initramfs: initramfs.as_deref(), manifest: manifest.as_ref() })?;
    } else {
        print(&text(&image))?;
    }
    Ok(Exit::OK)
}

fn text(image: &Image) -> String {
    let initramfs = image.initramfs.as_ref().map(|path| format!("initramfs  {}\n", path.display()));
    let head = format!("kernel     {}\n{}", image.kernel.display(), initramfs.unwrap_or_default());
    let Some(manifest) = &image.manifest else { return head };
    let packages = manifest.packages.iter().map(|package| [package.name.clone(), package.version.clone()]);
    format!("{head}release    {}\n\n{}", manifest.release, table(["PACKAGE", "VERSION"], packages))
}

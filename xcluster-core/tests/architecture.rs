//! Rules that the compiler does not check: the order of the modules, which of them are pure, where unsafe code is, and that
//! no more than two files import each other in a circle. All of them are checked on the syntax of the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The modules, lowest first. A module may use those before it and itself; `docs/architecture.md` says why.
const MODULES: &[&[&str]] = &[
    &["name", "error_chain"],
    &["addr"],
    &["topology"],
    &["host"],
    // The backend API names what the host lends to a backend, and does nothing with it.
    &["net"],
    &["netlink"],
    &["plan"],
    &["qemu"],
    &["guest"],
    &["image"],
    &["external"],
    &["cluster"],
    &["blocking"],
    &["test_run"],
    &["testing"],
];

/// Modules that touch nothing: no file, clock, environment, randomness or process.
const PURE: &[&str] = &[
    "name.rs",
    "error_chain.rs",
    "addr.rs",
    "topology",
    "net",
    "netlink/ownership.rs",
    "plan",
    "image/topology_overlay.rs",
    "qemu/command.rs",
    "external/script/qemu_args.rs",
    "external/plugin/abi.rs",
    "external/plugin/message.rs",
    "external/plugin/reply.rs",
];

/// Paths with effects: everything that begins so. A last segment with `*` is the beginning of a name.
const EFFECTS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net::Tcp*",
    "std::net::Udp*",
    "std::os::unix::net",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "nix",
    "tempfile",
    "print",
    "println",
    "eprint",
    "eprintln",
];

/// Where unsafe code is expected: what happens between fork and exec, descriptors that the kernel has just opened, what only an
/// ioctl does, and both sides of the boundary to plugins, which is one of C.
const UNSAFE: &[&str] = &[
    "host/namespace",
    "host/process_tree",
    "host/fd_passing.rs",
    "host/tap.rs",
    "netlink",
    "external/plugin/host.rs",
    "external/plugin/instance.rs",
    "external/plugin/load.rs",
    "external/plugin/tokens.rs",
    "external/plugin/export/host_client.rs",
    "external/plugin/export/mod.rs",
];

/// Names of other crates in the public API, each with the modules that have it. `README.md` names their crates.
const FOREIGN: &[(&str, &[&str])] = &[
    ("async_trait::async_trait", &["net"]),
    ("futures::Stream", &["cluster", "guest"]),
    ("schemars::JsonSchema", &["addr", "name", "topology"]),
    ("serde::Deserialize", SERIALISED),
    ("serde::DeserializeOwned", &["net"]),
    ("serde::Serialize", SERIALISED),
    ("serde_json::Error", &["qemu"]),
    ("serde_json::Map", &["net", "topology"]),
    ("serde_json::Value", &["cluster", "net", "qemu", "topology"]),
    ("tokio::ChildStderr", &["host"]),
    ("tokio::ChildStdout", &["host"]),
    ("tokio::TcpStream", &["cluster", "host"]),
    ("tokio::UnixStream", &["qemu"]),
];

/// Modules with types that serde reads and writes.
const SERIALISED: &[&str] =
    &["addr", "cluster", "external", "guest", "host", "image", "name", "net", "plan", "qemu", "testing", "topology"];

#[test]
fn everything_up_to_the_plan_is_pure() {
    let effects = EFFECTS.iter().map(|effect| effect.split("::").collect::<Vec<_>>());
    let effects: Vec<Vec<&str>> = effects.collect();
    let in_pure = |path: &&UsedPath| PURE.iter().any(|pure| path.file.starts_with(pure));
    let has_effect = |path: &&UsedPath| effects.iter().any(|effect| begins_with(&path.segments, effect));
    let violations = sources().paths.iter().filter(in_pure).filter(has_effect);
    assert_none("pure modules have effects", violations.map(UsedPath::describe));
    let exists = |pure: &&&str| sources().modules.values().any(|module| module.file.starts_with(pure));
    assert_none("pure modules do not exist", PURE.iter().filter(|pure| !exists(pure)).map(|pure| (*pure).to_owned()));
}

#[test]
fn modules_use_only_modules_below_them() {
    let violations = sources().paths.iter().filter_map(|path| {
        let used = sources().resolve(&path.module, &path.segments)?;
        let (own, used) = (height(path.module.first()?)?, height(used.first()?)?);
        (used > own).then(|| path.describe())
    });
    assert_none("modules use modules above them", violations);
}

#[test]
fn every_module_is_in_the_order() {
    let top = sources().modules.keys().filter(|module| module.len() == 1);
    assert_none("modules without a place in the order", top.flatten().filter(|name| height(name).is_none()).cloned());
}

#[test]
fn unsafe_code_is_only_where_it_is_expected() {
    let violations =
        sources().unsafe_code.iter().filter(|(file, _)| !UNSAFE.iter().any(|place| file.starts_with(place)));
    assert_none(
        "unsafe code where none is expected",
        violations.map(|(file, line)| format!("{}:{line}", file.display())),
    );
    for place in UNSAFE {
        assert!(
            sources().unsafe_code.iter().any(|(file, _)| file.starts_with(place)),
            "no unsafe code is in `{place}`"
        );
    }
}

#[test]
fn async_runtimes_and_netlink_stay_out_of_the_backend_api() {
    let foreign = |name: &str| ["tokio", "nix"].contains(&name) || name.contains("netlink");
    let in_api = sources().paths.iter().filter(|path| path.file.starts_with("net"));
    let violations = in_api.filter(|path| path.segments.first().is_some_and(|name| foreign(name)));
    assert_none("foreign types in the backend API", violations.map(UsedPath::describe));
}

/// A test that ends with `?` prints the `Debug` form, which has to be the error and its causes.
#[test]
fn public_errors_do_not_derive_debug() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder");
    let mut errors = 0;
    let mut violations = Vec::new();
    for package in ["xcluster-core", "xcluster-net-bridge", "xcluster-net-ovs", "xcluster-net-user"] {
        for file in rust_files(&workspace.join(package).join("src")) {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            let mut types = ErrorTypes::default();
            types.visit_file(&syn::parse_file(&text).expect("a source file can be parsed"));
            errors += types.errors.len();
            let derived = types.errors.iter().filter(|name| types.derive_debug.contains(*name));
            violations.extend(derived.map(|name| format!("{}: {name}", file.display())));
        }
    }
    assert!(errors > 30, "only {errors} public errors are found");
    assert_none("public errors derive `Debug`; use `error_chain::readable_debug!`", violations);
}

/// The public types of a file that derive `Debug`, and those that are errors.
#[derive(Default)]
struct ErrorTypes {
    errors: BTreeSet<String>,
    derive_debug: BTreeSet<String>,
}

impl ErrorTypes {
    fn read(&mut self, visibility: &syn::Visibility, attributes: &[syn::Attribute], name: &syn::Ident) {
        let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
        let derives: BTreeSet<String> = lists
            .flat_map(|list| {
                list.parse_args_with(syn::punctuated::Punctuated::<syn::Path, syn::Token![,]>::parse_terminated)
            })
            .flatten()
            .filter_map(|path| Some(path.segments.last()?.ident.to_string()))
            .collect();
        if matches!(visibility, syn::Visibility::Public(_)) {
            self.errors.extend(derives.contains("Error").then(|| name.to_string()));
            self.derive_debug.extend(derives.contains("Debug").then(|| name.to_string()));
        }
    }
}

impl<'ast> Visit<'ast> for ErrorTypes {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.read(&item.vis, &item.attrs, &item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.read(&item.vis, &item.attrs, &item.ident);
    }

    /// `impl Error for …` by hand.
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let implements = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        if let (Some(last), syn::Type::Path(of)) = (implements, &*item.self_ty)
            && last.ident == "Error"
        {
            self.errors.extend(of.path.segments.last().map(|segment| segment.ident.to_string()));
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a source folder can be read");
    let paths = entries.map(|entry| entry.expect("a source folder can be read").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn the_public_api_has_only_the_listed_foreign_types() {
    let mut found = BTreeSet::new();
    for (module, syntax) in exposed_files() {
        PublicApi { found: &mut found, module }.visit_file(&syntax);
    }
    let found: BTreeSet<(&str, &str)> = found.iter().map(|(name, module)| (name.as_str(), module.as_str())).collect();
    let listed = FOREIGN.iter().flat_map(|(name, modules)| modules.iter().map(move |module| (*name, *module)));
    let listed: BTreeSet<(&str, &str)> = listed.collect();
    assert_eq!(found, listed, "left: the API, right: the list");
}

/// Collects the names from other crates in the public items of a file. A public item of a private module counts: rustc's lint
/// `unreachable_pub` ensures that it is exported.
struct PublicApi<'a> {
    found: &'a mut BTreeSet<(String, String)>,
    module: ModulePath,
}

impl PublicApi<'_> {
    fn record(&mut self, segments: &[String]) {
        let imports = sources().modules.get(&self.module).map(|known| &known.imports);
        let mut path = segments.to_vec();
        if let Some(imported) = imports.and_then(|imports| imports.get(&path[0])) {
            path.splice(..1, imported.iter().cloned());
        }
        if let [name, .., last] = &path[..]
            && dependencies().contains(name)
        {
            let module = self.module.first().cloned().unwrap_or_else(|| "lib".to_owned());
            self.found.insert((format!("{name}::{last}"), module));
        }
    }

    /// The attribute macro `async_trait`, and derived traits.
    fn attributes(&mut self, attributes: &[syn::Attribute]) {
        type List<T> = syn::punctuated::Punctuated<T, syn::Token![,]>;
        for attribute in attributes {
            let metas = match &attribute.meta {
                syn::Meta::List(list) if list.path.is_ident("cfg_attr") => {
                    list.parse_args_with(List::<syn::Meta>::parse_terminated).expect("`cfg_attr` can be parsed")
                }
                meta => List::from_iter([meta.clone()]),
            };
            for meta in metas {
                match meta {
                    syn::Meta::List(list) if list.path.is_ident("derive") => {
                        let derived = list.parse_args_with(List::<syn::Path>::parse_terminated);
                        derived.expect("`derive` can be parsed").iter().for_each(|path| self.visit_path(path));
                    }
                    syn::Meta::Path(path) => self.visit_path(&path),
                    _ => {}
                }
            }
        }
    }

    fn use_tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(prefix, tree)),
            syn::UseTree::Glob(_) => self.record(&[prefix, &["*".to_owned()]].concat()),
            syn::UseTree::Name(name) => self.record(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.record(&with(&rename.ident)),
        }
    }

    /// Whether it is a public type of this crate.
    fn is_public(&self, of: &syn::Type) -> bool {
        let syn::Type::Path(path) = of else { return false };
        let segments: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let module = sources().resolve(&self.module, &segments);
        module.is_some_and(|module| public_types().contains(&(module, segments[segments.len() - 1].clone())))
    }
}

impl<'ast> Visit<'ast> for PublicApi<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, visibility) = match item {
            syn::Item::Const(item) => (&item.attrs, Some(&item.vis)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.vis)),
            syn::Item::Fn(item) => (&item.attrs, Some(&item.vis)),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Static(item) => (&item.attrs, Some(&item.vis)),
            syn::Item::Struct(item) => (&item.attrs, Some(&item.vis)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.vis)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.vis)),
            syn::Item::Use(item) => (&item.attrs, Some(&item.vis)),
            _ => return,
        };
        let is_public = visibility.is_none_or(|visibility| matches!(visibility, syn::Visibility::Public(_)));
        if is_public && !attributes.iter().any(|attribute| is_for_tests(attribute) || is_hidden(attribute)) {
            // Attributes of implementations do not change the interface.
            if visibility.is_some() {
                self.attributes(attributes);
            }
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if let Some((_, items)) = &item.content {
            self.module.push(item.ident.to_string());
            items.iter().for_each(|item| self.visit_item(item));
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !self.is_public(&item.self_ty) {
            return;
        }
        if let Some((_, implemented, _)) = &item.trait_ {
            return self.visit_path(implemented);
        }
        for item in &item.items {
            if let syn::ImplItem::Fn(function) = item
                && matches!(function.vis, syn::Visibility::Public(_))
                && !function.attrs.iter().any(is_hidden)
            {
                self.visit_signature(&function.sig);
            }
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if matches!(field.vis, syn::Visibility::Public(_)) {
            self.visit_type(&field.ty);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        variant.fields.iter().for_each(|field| self.visit_type(&field.ty));
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if !function.attrs.iter().any(is_hidden) {
            self.visit_signature(&function.sig);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.record(&segments);
        visit::visit_path(self, path);
    }

    // None is a part of the interface.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_block(&mut self, _: &'ast syn::Block) {}
    fn visit_expr(&mut self, _: &'ast syn::Expr) {}
}

/// The crates that the library depends on, as paths begin with them.
fn dependencies() -> &'static BTreeSet<String> {
    static NAMES: OnceLock<BTreeSet<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let manifest: toml::Table = toml::from_str(include_str!("../Cargo.toml")).expect("the manifest can be parsed");
        let names = manifest["dependencies"].as_table().expect("a table").keys().map(|name| name.replace('-', "_"));
        // Its macro derives a trait of std.
        names.filter(|name| name != "thiserror").collect()
    })
}

/// All public types: their modules and names.
fn public_types() -> &'static BTreeSet<(ModulePath, String)> {
    static TYPES: OnceLock<BTreeSet<(ModulePath, String)>> = OnceLock::new();
    TYPES.get_or_init(|| {
        let mut types = BTreeSet::new();
        for (module, syntax) in exposed_files() {
            for item in &syntax.items {
                match item {
                    syn::Item::Struct(syn::ItemStruct { vis: syn::Visibility::Public(_), ident, .. })
                    | syn::Item::Enum(syn::ItemEnum { vis: syn::Visibility::Public(_), ident, .. }) => {
                        types.insert((module.clone(), ident.to_string()));
                    }
                    _ => {}
                }
            }
        }
        types
    })
}

/// The syntax of every file that is not of a hidden module, with its module.
fn exposed_files() -> Vec<(ModulePath, syn::File)> {
    let mut files = BTreeMap::new();
    for (module, known) in &sources().modules {
        // The shortest path of a file comes first: that of the file, not of a module within it.
        files.entry(&known.file).or_insert(module);
    }
    let is_hidden = |module: &ModulePath| (0..=module.len()).any(|end| sources().hidden.contains(&module[..end]));
    let exposed = files.into_iter().filter(|(_, module)| !is_hidden(module));
    let read = exposed.map(|(file, module)| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let text = fs::read_to_string(path).expect("a source file can be read");
        (module.clone(), syn::parse_file(&text).expect("a source file can be parsed"))
    });
    read.collect()
}

#[test]
fn no_more_than_two_files_import_each_other_in_a_circle() {
    let imports = sources().imports();
    let violations = cycles(&imports).into_iter().filter(|cycle| cycle.len() > 2).map(|cycle| {
        let edges = cycle.iter().flat_map(|from| {
            let within = imports[from].iter().filter(|(to, _)| cycle.contains(*to));
            within.map(|(_, why)| format!("  {why}"))
        });
        format!("{} files:\n{}", cycle.len(), edges.collect::<Vec<_>>().join("\n"))
    });
    assert_none("more than two files import each other in a circle", violations);
}

/// Else the other tests might find nothing because they look at nothing.
#[test]
fn an_import_leads_to_the_file_that_defines_its_item() {
    let imports = sources().imports();
    let has = |from: &str, to: &str| imports[Path::new(from)].contains_key(Path::new(to));
    // A re-export of another module, one of the parent, a path in an expression, and one within a macro.
    assert!(has("external/plugin/export/blocking.rs", "net/backend.rs"));
    assert!(has("net/backend.rs", "net/capabilities.rs"));
    assert!(has("external/plugin/load.rs", "error_chain.rs"));
    assert!(has("netlink/port_states.rs", "name.rs"));
    assert!(!has("net/capabilities.rs", "net/backend.rs"), "documentation is no import");
    assert!(!imports.contains_key(Path::new("host/namespace/tests.rs")), "tests are no part of it");
}

fn height(module: &str) -> Option<usize> {
    MODULES.iter().position(|modules| modules.contains(&module))
}

fn begins_with(segments: &[String], beginning: &[&str]) -> bool {
    segments.len() >= beginning.len()
        && beginning.iter().zip(segments).all(|(wanted, segment)| match wanted.strip_suffix('*') {
            Some(start) => segment.starts_with(start),
            None => segment == wanted,
        })
}

fn assert_none(what: &str, violations: impl IntoIterator<Item = String>) {
    let violations: Vec<String> = violations.into_iter().collect();
    assert!(violations.is_empty(), "{what}:\n{}", violations.join("\n"));
}

type Imports<'a> = BTreeMap<&'a Path, BTreeMap<&'a Path, String>>;

/// Sets of files of which each imports each other, directly or not.
fn cycles<'a>(imports: &Imports<'a>) -> BTreeSet<BTreeSet<&'a Path>> {
    let reachable = |from: &'a Path| {
        let (mut found, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(imports.get(file).into_iter().flat_map(BTreeMap::keys).filter(|to| found.insert(**to)));
        }
        found
    };
    let reachable: BTreeMap<&Path, BTreeSet<&Path>> = imports.keys().map(|file| (*file, reachable(file))).collect();
    let cycle = |file: &&'a Path| {
        let back = |to: &&&Path| reachable.get(**to).is_some_and(|files| files.contains(file));
        reachable[file].iter().filter(back).copied().collect::<BTreeSet<_>>()
    };
    imports.keys().map(cycle).collect()
}

type ModulePath = Vec<String>;

/// The library's source without its tests.
#[derive(Default)]
struct Sources {
    modules: BTreeMap<ModulePath, Module>,
    paths: Vec<UsedPath>,
    unsafe_code: Vec<(PathBuf, usize)>,
    /// Modules that are `#[doc(hidden)]`.
    hidden: BTreeSet<ModulePath>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    items: BTreeSet<String>,
    /// What `use` gives a name, by that name.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

/// A path in an import, a type, an expression or a macro.
struct UsedPath {
    file: PathBuf,
    module: ModulePath,
    line: usize,
    segments: Vec<String>,
}

impl UsedPath {
    fn describe(&self) -> String {
        format!("{}:{}: {}", self.file.display(), self.line, self.segments.join("::"))
    }
}

fn sources() -> &'static Sources {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let mut sources = Sources::default();
        read_file(&mut sources, PathBuf::from("lib.rs"), PathBuf::new(), Vec::new());
        sources
    })
}

fn read_file(sources: &mut Sources, file: PathBuf, children: PathBuf, module: ModulePath) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    sources.modules.insert(module.clone(), Module { file: file.clone(), ..Module::default() });
    Reader { sources, file, children, module }.visit_file(&syntax);
}

impl Sources {
    /// The module of the crate that defines what a path names; none for what is not of this crate.
    fn resolve(&self, from: &[String], segments: &[String]) -> Option<ModulePath> {
        self.resolve_within(from, segments, 0)
    }

    fn resolve_within(&self, from: &[String], segments: &[String], depth: usize) -> Option<ModulePath> {
        let (mut module, mut rest) = (from.to_vec(), segments);
        match segments.first()?.as_str() {
            "crate" => (module, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    module.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                let known = self.modules.get(from)?;
                let is_child = self.modules.contains_key(&[from, &[name.to_owned()]].concat());
                if !is_child && !known.items.contains(name) && !known.imports.contains_key(name) {
                    return self.through_globs(from, segments, depth);
                }
            }
        }
        while let Some(segment) = rest.first() {
            let child = [&module[..], std::slice::from_ref(segment)].concat();
            if !self.modules.contains_key(&child) {
                break;
            }
            (module, rest) = (child, &rest[1..]);
        }
        let known = self.modules.get(&module)?;
        match rest.first() {
            Some(name) if known.items.contains(name) => Some(module),
            Some(name) if depth < 16 && known.imports.contains_key(name) => {
                self.resolve_within(&module, &[&known.imports[name][..], &rest[1..]].concat(), depth + 1)
            }
            Some(_) => self.through_globs(&module, rest, depth).or(Some(module)),
            None => Some(module),
        }
    }

    fn through_globs(&self, module: &[String], rest: &[String], depth: usize) -> Option<ModulePath> {
        let globs = self.modules.get(module)?.globs.iter().filter(|_| depth < 16);
        globs.filter_map(|glob| self.resolve_within(module, glob, depth + 1)).find_map(|target| {
            let known = self.modules.get(&target)?;
            let has = known.items.contains(&rest[0]) || known.imports.contains_key(&rest[0]);
            has.then(|| self.resolve_within(&target, rest, depth + 1)).flatten()
        })
    }

    /// By file, the files whose items it names, each with one place where it does.
    fn imports(&self) -> Imports<'_> {
        let mut imports = Imports::new();
        for path in &self.paths {
            let of_file = imports.entry(&path.file).or_default();
            if let Some(module) = self.resolve(&path.module, &path.segments)
                && let Some(used) = self.modules.get(&module)
                && used.file != path.file
            {
                of_file.entry(&used.file).or_insert_with(|| path.describe());
            }
        }
        imports
    }
}

/// Reads one file, and those of its modules.
struct Reader<'a> {
    sources: &'a mut Sources,
    file: PathBuf,
    /// The folder of the files of its modules.
    children: PathBuf,
    module: ModulePath,
}

impl Reader<'_> {
    fn record_path(&mut self, segments: Vec<String>, line: usize) {
        let (file, module) = (self.file.clone(), self.module.clone());
        self.sources.paths.push(UsedPath { file, module, line, segments });
    }

    fn record_unsafe(&mut self, line: usize) {
        self.sources.unsafe_code.push((self.file.clone(), line));
    }

    fn known(&mut self) -> &mut Module {
        self.sources.modules.get_mut(&self.module).expect("the module is being read")
    }

    fn use_tree(&mut self, prefix: &[String], tree: &syn::UseTree, is_export: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (name, segments) = match tree {
            syn::UseTree::Path(path) => return self.use_tree(&with(&path.ident), &path.tree, is_export),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.use_tree(prefix, tree, is_export));
            }
            syn::UseTree::Glob(_) => {
                self.known().globs.push(prefix.to_vec());
                (None, prefix.to_vec())
            }
            syn::UseTree::Name(name) if name.ident == "self" => (prefix.last().cloned(), prefix.to_vec()),
            syn::UseTree::Name(name) => (Some(name.ident.to_string()), with(&name.ident)),
            syn::UseTree::Rename(rename) => (Some(rename.rename.to_string()), with(&rename.ident)),
        };
        // A re-export does not use the name.
        if !is_export {
            self.record_path(segments.clone(), tree.span().start().line);
        }
        if let Some(name) = name.filter(|name| name != "_") {
            self.known().imports.insert(name, segments);
        }
    }

    /// Paths and unsafe code in what a macro gets, which is no syntax before it is expanded.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut segments, mut colons, mut line) = (Vec::new(), 0, 0);
        for token in tokens {
            match &token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.flush(&mut segments, line);
                    }
                    if ident == "unsafe" {
                        self.record_unsafe(ident.span().start().line);
                    }
                    line = ident.span().start().line;
                    segments.push(ident.to_string());
                }
                other => {
                    self.flush(&mut segments, line);
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
            colons = 0;
        }
        self.flush(&mut segments, line);
    }

    fn flush(&mut self, segments: &mut Vec<String>, line: usize) {
        let segments = std::mem::take(segments);
        if segments.len() > 1 {
            self.record_path(segments, line);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Const(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Static(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Union(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Use(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if attributes.iter().any(is_for_tests) {
            return;
        }
        if let Some(name) = name {
            self.known().items.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let module = [&self.module[..], std::slice::from_ref(&name)].concat();
        if item.attrs.iter().any(is_hidden) {
            self.sources.hidden.insert(module.clone());
        }
        if let Some((_, items)) = &item.content {
            self.sources.modules.insert(module.clone(), Module { file: self.file.clone(), ..Module::default() });
            let (file, children) = (self.file.clone(), self.children.join(&name));
            let mut reader = Reader { sources: self.sources, file, children, module };
            return items.iter().for_each(|item| reader.visit_item(item));
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (flat, folder) = (self.children.join(format!("{name}.rs")), self.children.join(&name));
        let (file, children) = match item.attrs.iter().find_map(path_attribute) {
            // Relative to the folder of this file.
            Some(path) => {
                let file = self.file.parent().unwrap_or(Path::new("")).join(path);
                let children = file.parent().unwrap_or(Path::new("")).to_owned();
                (file, children)
            }
            None if source.join(&flat).exists() => (flat, folder),
            None => (folder.join("mod.rs"), folder),
        };
        read_file(self.sources, file, children, module);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree, !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.record_path(segments, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.record_unsafe(block.span().start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.unsafety.is_some() {
            self.record_unsafe(item.span().start().line);
        }
        visit::visit_item_impl(self, item);
    }

    // Neither imports anything.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// `#[doc(hidden)]`.
fn is_hidden(attribute: &syn::Attribute) -> bool {
    let is_hidden = |list: &syn::MetaList| list.tokens.to_string() == "hidden";
    attribute.path().is_ident("doc") && attribute.meta.require_list().is_ok_and(is_hidden)
}

/// `#[cfg(test)]`.
fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let is_test = |list: &syn::MetaList| list.tokens.to_string() == "test";
    attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(is_test)
}

/// The value of `#[path = "…"]`.
fn path_attribute(attribute: &syn::Attribute) -> Option<String> {
    let value = attribute.path().is_ident("path").then(|| attribute.meta.require_name_value().ok()).flatten()?;
    match &value.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

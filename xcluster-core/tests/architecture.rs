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
